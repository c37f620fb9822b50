//! Metrics: a table of all metrics, and a function for each event that changes a metric.
//!
//! Invariant: no label contains text that somebody typed or sent.

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
pub use metric::describe;
pub use record::{RequestOutcome, hook, outbound};
pub(crate) use record::{
    ScheduleOutcome, closed_outcomes, create_rare_counters, job_ended, rate_limited, scheduled, woken,
};
pub(crate) use record::{account, open_jobs, overdue, plugins};
pub use table::TABLE;
