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
/// Not a public interface: it changes without notice.
#[cfg(feature = "internals")]
#[doc(hidden)]
pub mod internals;
mod query;
mod retention;
mod review;
mod rows;
mod schedules;
mod serve;
mod verdict;

pub use ask::NoAnswer;
pub use builder::{BuildError, ConfigError, EngineBuilder};
pub use health::{AccountHealth, Health};
pub use hooks::{Delivered, Undelivered};
pub use review::{
    AuditReport, Explained, Finding, InspectedCall, InspectedCommand, InspectedPlugin, InspectedSetting, MayRow,
    MayRun, NotLoadedRow, OverrideRow, PastUse, PluginFindings, Probe, Review, TriggerRow,
};
pub use serve::{Engine, RunError};
