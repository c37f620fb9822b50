//! The engine: its builder, the one function that joins the stages (`handle`), and the host's own commands (`builtin`).

mod action;
mod announce;
mod ask;
mod builder;
mod builtin;
mod check_triggers;
mod expect;
mod explain;
mod handle;
mod health;
mod hooks;
mod plugin_problems;
mod query;
mod retention;
mod rows;
mod schedules;
mod verdict;

pub use ask::NoAnswer;
pub use builder::{BuildError, Engine, EngineBuilder, RunError};
pub use builtin::{MayRow, MayRun, NotFound, find_person};
pub use explain::Explainer;
pub use health::{AccountHealth, Health};
pub use hooks::{Delivered, Undelivered};
