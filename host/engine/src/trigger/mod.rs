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
pub use alias::{Alias, FixedAnswer};
pub use hook::{Hook, HookAuth, HookRejection};
pub use listen::Listen;
pub use schedule::{MissedPolicy, Schedule};
pub use template::Template;
pub use template::TemplateError;
pub use triggers::Triggers;
