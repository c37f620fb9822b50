//! The engine: its builder, the handling of messages (`handle`), and the host's own commands (`builtin`).

mod action;
mod announce;
mod ask;
mod builder;
mod builtin;
mod handle;
mod health;
mod hooks;
mod host;
/// Parts of the engine for benchmarks. They can change in any release.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod missing_plugins;
mod query;
mod refused_triggers;
mod retention;
mod review;
mod rows;
mod schedules;
mod serve;
mod verdict;

pub use ask::NoAnswer;
pub use builder::{BuildError, ConfigError, EngineBuilder};
pub use health::{AccountHealth, Health};
pub use hooks::{Delivered, DeliveryError};
use hooks::{REDELIVERY_TIMEOUT, Redeliveries, Redelivery, key_prefix};
pub use review::{Report, Review};
pub use serve::{Engine, RunError};
