//! Triggers: what starts a command that nobody typed as such: aliases, fixed answers, patterns, schedules, hooks. Data
//! and matching.
//!
//! Not here: the timing of schedules and the handling of deliveries ([`crate::engine`]).

mod alias;
mod hook;
mod listen;
mod schedule;
mod template;
mod triggers;

pub(crate) use alias::is_gap;
pub(crate) use alias::{Alias, FixedAnswer};
pub(crate) use hook::HookRejection;
pub use hook::{Hook, HookAuth};
pub(crate) use listen::Listen;
pub(crate) use schedule::{MissedPolicy, Schedule};
pub(crate) use template::Template;
pub(crate) use template::TemplateError;
pub(crate) use triggers::Triggers;
