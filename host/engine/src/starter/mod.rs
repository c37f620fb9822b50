//! What sets a command off besides typing it: short forms and fixed answers of the operator, patterns that are listened for,
//! schedules, and hooks of other machines.
//!
//! Invariant: what somebody gave becomes one argument each, and is never put into a line that is read again.
//! What a person sets off is done with that person's rights; what a schedule or a hook does, with those of the machine that it
//! names.
//! Not here: how their tables are read (`config`), and when they are set off (`engine`).

mod announced;
mod template;
mod typed;

pub(crate) use announced::is_announced;
pub use announced::{Hook, HookAuth, Missed, NotTaken, Schedule};
pub use template::{Template, TemplateError};
pub(crate) use typed::is_gap;
pub use typed::{Alias, Listen, Said, Starters};
