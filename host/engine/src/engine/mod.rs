//! engine

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

pub use builder::{BuildError, Engine, EngineBuilder, RunError};
pub use builtin::{MayRow, MayRun, find_person};
pub use explain::Explainer;
pub use health::{AccountHealth, Health};
pub use hooks::{Delivered, Undelivered};
