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
pub use alias::{Alias, Said};
pub use hook::{Hook, HookAuth, NotTaken};
pub use listen::Listen;
pub use schedule::{Missed, Schedule};
pub use template::Template;
pub use template::TemplateError;
pub use triggers::Triggers;
