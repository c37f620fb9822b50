//! One function per event that is counted or measured.

use std::time::{Duration, Instant};

use super::metric::Label;
use crate::store::{JobOutcome, JobPhase, Write};

/// The result of a request to another system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RequestOutcome {
    /// An HTTP status.
    Status(u16),
    /// Success, without an HTTP status.
    Done,
    /// The rate limit was exceeded.
    Limited,
    /// No answer, or temporarily unavailable.
    Unavailable,
    /// Refused.
    Refused,
}

impl RequestOutcome {
    fn status(self) -> &'static str {
        match self {
            Self::Status(100..200) => "1xx",
            Self::Status(200..300) => "2xx",
            Self::Status(300..400) => "3xx",
            Self::Status(400..500) => "4xx",
            Self::Status(_) => "5xx",
            Self::Done => "ok",
            Self::Limited => "limited",
            Self::Unavailable => "away",
            Self::Refused => "refused",
        }
    }

    fn success(self) -> bool {
        matches!(self, Self::Done | Self::Status(100..400))
    }
}

/// Records a request that began at `began`. `target` is the network, or the backend's name in the configuration. The
/// engine records its own calls of adapters (such as `say` or `start`). An adapter records its HTTP requests by their
/// HTTP methods.
pub fn outbound(target: &str, method: &'static str, result: RequestOutcome, began: Instant) {
    let target = metrics::SharedString::from(target.to_owned());
    super::table::OUTBOUND
        .counter([
            (Label::Target, target.clone()),
            (Label::Method, method.into()),
            (Label::Status, result.status().into()),
            (Label::Success, if result.success() { "true" } else { "false" }.into()),
        ])
        .increment(1);
    super::table::OUTBOUND_SECONDS
        .seconds([(Label::Target, target), (Label::Method, method.into())])
        .record(began.elapsed().as_secs_f64());
}

/// Counts the answer to a delivery. `hook` is the name of a configured hook, and `None` for an unknown one.
pub fn hook(hook: Option<&str>, answer: &'static str) {
    hooks_counter(hook.unwrap_or_default(), answer).increment(1);
}

fn hooks_counter(hook: &str, answer: &'static str) -> metrics::Counter {
    super::table::HOOKS.counter([(Label::Hook, hook.to_owned().into()), (Label::Answer, answer.into())])
}

/// Sets the state of an account's connection, and the number of its reconnects.
pub(crate) fn account(bot: &str, network: &'static str, up: bool, reconnects: u64) {
    let labels = || [(Label::Bot, metrics::SharedString::from(bot.to_owned())), (Label::Network, network.into())];
    super::table::LINK_UP.gauge(labels()).set(if up { 1.0 } else { 0.0 });
    super::table::RECONNECTS.counter(labels()).absolute(reconnects);
}

/// Sets the number of open jobs in a phase.
pub(crate) fn open_jobs(phase: JobPhase, count: u64) {
    super::table::JOBS.gauge([(Label::JobPhase, word(phase).into())]).set(count as f64);
}

/// Sets the delay of the job that is overdue for the longest time.
pub(crate) fn overdue(late: Duration) {
    super::table::OVERDUE.gauge([]).set(late.as_secs_f64());
}

/// Sets the numbers of loaded and not loaded plugins.
pub(crate) fn plugins(loaded: usize, not_loaded: usize) {
    for (state, count) in [("loaded", loaded), ("not-loaded", not_loaded)] {
        super::table::PLUGINS.gauge([(Label::State, state.into())]).set(count as f64);
    }
}

/// Creates the counters of rare events with the value 0. Otherwise `increase()` would miss the first event.
pub(crate) fn begin<'a>(schedules: impl Iterator<Item = &'a str>, hooks: impl Iterator<Item = &'a str>) {
    for schedule in schedules {
        scheduled(schedule, ScheduleOutcome::Fired, 0);
        scheduled(schedule, ScheduleOutcome::Skipped, 0);
    }
    for hook in hooks {
        for answer in ["taken", "unauthorized"] {
            hooks_counter(hook, answer).increment(0);
        }
    }
    hooks_counter("", "unknown").increment(0);
    for outcome in [JobOutcome::Succeeded, JobOutcome::Failed, JobOutcome::Unknown] {
        ended(outcome, 0);
    }
}

/// The outcomes of the jobs that some writes close. The caller counts them after the commit.
pub(crate) fn ends(writes: &[Write]) -> Vec<JobOutcome> {
    let end = |write: &Write| match write {
        Write::Close { end, .. } => Some(end.outcome),
        _ => None,
    };
    writes.iter().filter_map(end).collect()
}

/// Counts a job that ended, after the commit.
pub(crate) fn job_ended(outcome: JobOutcome) {
    ended(outcome, 1);
}

fn ended(outcome: JobOutcome, count: u64) {
    let word = match outcome {
        JobOutcome::Succeeded => "succeeded",
        JobOutcome::Warnings => "warnings",
        JobOutcome::Failed => "failed",
        JobOutcome::Cancelled => "cancelled",
        JobOutcome::Refused => "refused",
        JobOutcome::NotApproved => "not-approved",
        JobOutcome::Unknown => "unknown",
    };
    super::table::JOBS_ENDED.counter([(Label::Outcome, word.into())]).increment(count);
}

/// Records the delay of a woken job.
pub(crate) fn woken(late: Duration) {
    super::table::WAKE_LAG.seconds([]).record(late.as_secs_f64());
}

/// The outcome of a scheduled time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScheduleOutcome {
    /// The command was started.
    Fired,
    /// The time was missed and skipped.
    Skipped,
}

/// Counts scheduled times.
pub(crate) fn scheduled(schedule: &str, ran: ScheduleOutcome, times: usize) {
    let word = match ran {
        ScheduleOutcome::Fired => "fired",
        ScheduleOutcome::Skipped => "skipped",
    };
    let labels = [(Label::Schedule, schedule.to_owned().into()), (Label::Outcome, word.into())];
    super::table::SCHEDULES.counter(labels).increment(u64::try_from(times).unwrap_or(u64::MAX));
}

/// Records the pause that a network asked for.
pub(crate) fn rate_limited(network: &'static str, wait: Duration) {
    super::table::RATE_LIMITED.seconds([(Label::Network, network.into())]).record(wait.as_secs_f64());
}

fn word(phase: JobPhase) -> &'static str {
    match phase {
        JobPhase::Running => "working",
        JobPhase::Run => "run",
        JobPhase::Time => "time",
        JobPhase::Queued => "line",
        JobPhase::Scheduled => "later",
        JobPhase::InDoubt => "asked",
        JobPhase::Approval => "approval",
        JobPhase::Held => "held",
    }
}
