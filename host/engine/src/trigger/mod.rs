//! What starts a command without typing it: aliases, fixed answers, patterns, schedules, hooks. Data and matching.
//!
//! Not here: when a schedule is due and what a delivery becomes ([`crate::engine`]).

mod alias;
mod hook;
mod listen;
mod schedule;
mod template;
mod triggers;

pub(crate) use alias::is_gap;
pub(crate) use alias::{Alias, Said};
pub(crate) use hook::NotTaken;
pub use hook::{Hook, HookAuth};
pub(crate) use listen::Listen;
pub(crate) use schedule::{Missed, Schedule};
pub(crate) use template::Template;
pub(crate) use template::TemplateError;
pub(crate) use triggers::Triggers;
