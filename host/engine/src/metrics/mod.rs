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
pub(crate) use record::{
    RequestOutcome, ScheduleOutcome, account, closed_outcomes, create_rare_counters, job_ended, open_jobs, outbound,
    overdue, plugins, rate_limited, scheduled, secret_store, woken,
};
pub use record::{hook, http_request};
pub use table::TABLE;
