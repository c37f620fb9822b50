//! metrics

mod alert;
mod counters;
mod first_response;
mod metric;
mod pages;
mod record;
mod table;
#[cfg(test)]
mod tests;

pub(crate) use counters::{Became, Calls, Commands, Decision};
pub(crate) use first_response::FirstAnswers;
pub use metric::{Label, MetricKind, describe};
pub use record::{Asked, accounts, health, hook, outbound};
pub(crate) use record::{Ran, begin, ends, job_ended, rate_limited, scheduled, woken};
pub use table::TABLE;
