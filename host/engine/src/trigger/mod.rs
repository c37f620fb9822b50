//! Triggers, which start commands that nobody typed in full: aliases, fixed answers, listen patterns, schedules and
//! hooks. This folder holds the data of the triggers, and matches messages against them.
//!
//! Not here: the timing of schedules and the handling of hook deliveries ([`crate::engine`]).

mod alias;
mod command_template;
mod hook;
mod schedule;
mod triggers;

pub(crate) use alias::{Alias, FixedAnswer, is_placeholder};
pub(crate) use command_template::CommandTemplate;
pub(crate) use hook::HookRejection;
pub use hook::{Hook, HookAuth};
pub(crate) use schedule::{MissedPolicy, Schedule};
pub(crate) use triggers::{Listen, Triggers};
