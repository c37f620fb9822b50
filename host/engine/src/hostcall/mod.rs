//! hostcall

mod access;
mod approval_gate;
mod authorize;
mod catalog;
mod chat;
mod clock;
mod context;
mod deny_rules;
mod direct_message;
mod gate;
mod invocation;
mod jobs;
mod journaling;
mod log;
mod opening;
mod pipelines;
mod settings;
mod store;
pub(crate) mod table;
mod tally;
#[cfg(test)]
mod tests;

pub(crate) use approval_gate::Unapproved;
pub(crate) use context::Shared;
pub(crate) use direct_message::{ShownIn, refuses};
pub(crate) use gate::Recovered;
pub use invocation::Invocation;
pub(crate) use invocation::{Life, Past, Purpose, Rehearsal, Stop, Timer};
pub(crate) use journaling::working;
pub(crate) use opening::opening;
pub(crate) use opening::{asked, draw_id, is_job_id};
pub(crate) use pipelines::{RUN, Timers, ending, reached, ready, until};
pub use table::{CONTRACT, Row, TABLE};
pub use tally::Tally;
