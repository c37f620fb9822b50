//! Metrics: one table, and a function for each event.
//!
//! Invariant: no label contains text that somebody typed or sent.

mod alert;
mod counters;
mod first_response;
mod metric;
#[cfg(test)]
mod pages;
mod record;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use counters::{Calls, CommandOutcome, Commands, Decision};
pub(crate) use first_response::FirstAnswers;
pub use metric::{Label, MetricKind, describe};
pub use record::{RequestOutcome, hook, outbound};
pub(crate) use record::{ScheduleOutcome, begin, ends, job_ended, rate_limited, scheduled, woken};
pub(crate) use record::{account, open_jobs, overdue, plugins};
pub use table::TABLE;
