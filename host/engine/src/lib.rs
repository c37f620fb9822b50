//! Wardroom: an embeddable engine that turns chat messages into guarded operations.
//!
//! A message becomes a typed `command`, the command is authorized by `policy`, an action becomes a durable [`job`], the job
//! runs a sandboxed [`plugin`], every call of the plugin passes the gate in [`hostcall`], and the result goes back to the room
//! through `messaging`. [`engine`] joins the stages in one function.
//!
//! The folders are layers: each imports only those above it in this list. [`base`], [`model`], [`store`], [`metrics`], [`adapter`],
//! [`journal`], `command`, `policy`, [`job`], `messaging`, [`plugin`], [`hostcall`], `runner`, [`trigger`], [`config`],
//! [`engine`].
//!
//! Architecture Invariant: this crate knows no chat network, no cloud and no database driver.
//! Architecture Invariant: each stage is a type that only the stage before can make.

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
/// The time type of this crate's interfaces.
pub use jiff::Timestamp;
/// How a host asks its parts to stop.
pub use tokio_util::sync::CancellationToken;

/// The items that most programs with an engine need.
pub mod prelude {
    pub use crate::{
        CancellationToken, Engine, EngineBuilder, Timestamp,
        adapter::{
            Body, Chat, ChatFactory, ChatFeatures, Clock, Directory, Inbox, Incoming, MemoryChat, MemoryClock,
            MemoryDirectory, MemoryPipelines, MemoryPipelinesFactory, Outgoing, Pipelines, PipelinesFactory, ReadyChat,
            SendError, SystemClock,
        },
        base::{Problem, Secret, Table, Text},
        config::Config,
        hostcall::Capability,
        model::{Outcome, Person},
        store::{MemoryStore, Store},
    };
}
