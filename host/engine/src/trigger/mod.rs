//! What starts a command without typing it: aliases, fixed answers, patterns, schedules, hooks. Data and matching.
//!
//! Not here: when a schedule is due and what a delivery becomes ([`crate::engine`]).

mod alias;
mod command_template;
mod hook;
mod listen;
mod schedule;
mod triggers;

pub(crate) use alias::is_placeholder;
pub(crate) use alias::{Alias, Said};
pub(crate) use command_template::{CommandTemplate, CommandTemplateError};
pub(crate) use hook::NotTaken;
pub use hook::{Hook, HookAuth};
pub(crate) use listen::Listen;
pub(crate) use schedule::{Missed, Schedule};
pub(crate) use triggers::Triggers;
