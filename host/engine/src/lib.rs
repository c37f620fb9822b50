//! Wardroom: an embeddable engine that turns chat messages into guarded operations.
//!
//! The module `command` parses a chat message into a command. The module `policy` authorizes the command. An action
//! becomes a durable [`job`], which runs a sandboxed [`plugin`]. The module [`hostcall`] checks each call that the
//! plugin makes to the host. The module `messaging` sends the result to the room. The module [`engine`] calls these
//! stages in order.
//!
//! The modules are layers. Each module imports only modules that are earlier in this list: [`base`], [`model`],
//! [`store`], [`metrics`], [`adapter`], [`journal`], `command`, `policy`, [`job`], `messaging`, [`plugin`],
//! [`hostcall`], `runner`, [`trigger`], [`config`], [`engine`].
//!
//! Invariant: this crate does not depend on a chat network, a cloud or a database driver.
//! Invariant: each stage takes a value whose type proves that the previous stage has run, because only the
//! previous stage can create the value.

pub mod adapter;
pub mod base;
mod command;
pub mod config;
pub mod engine;
pub mod hostcall;
pub mod job;
pub mod journal;
mod messaging;
pub mod metrics;
pub mod model;
pub mod plugin;
mod policy;
mod runner;
pub mod store;
pub mod trigger;

pub use engine::{Engine, EngineBuilder};
/// The time type in the public interfaces of this crate.
pub use jiff::Timestamp;
/// The token with which a program stops an engine and its adapters.
pub use tokio_util::sync::CancellationToken;

/// The items that most programs that embed an engine import.
pub mod prelude {
    pub use crate::{
        CancellationToken, Engine, EngineBuilder, Timestamp,
        adapter::{
            Body, Chat, ChatFactory, ChatFeatures, Clock, Directory, Inbox, Incoming, MemoryChat, MemoryClock,
            MemoryDirectory, MemoryPipelines, MemorySecrets, Outgoing, Pipelines, PipelinesFactory, RateLimit, Secrets,
            SecretsFactory, SendError, SystemClock,
        },
        base::{Problem, Secret, Table, Text},
        config::Config,
        hostcall::Capability,
        model::{Outcome, Person},
        store::{MemoryStore, Store},
    };
}
