//! Functions that record events in the metrics, one function for each event.

use std::time::{Duration, Instant};

use crate::store::{JobOutcome, JobPhase, Write};

/// The result of a request to a chat network or to a pipeline backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RequestOutcome {
    /// The server answered with this HTTP status.
    Status(u16),
    /// The request succeeded and has no HTTP status.
    Done,
    /// The server rejected the request because of its rate limit.
    Limited,
    /// The server did not respond or is temporarily unavailable.
    Unavailable,
    /// The server refused the request; a retry would fail too.
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

/// Records the result and the duration of an adapter's HTTP request that began at `began` and just ended. `target` is
/// the name of the chat network or of the pipeline backend, and `method` is the HTTP method. `status` is the status
/// code of the response; `None` if there was no response.
pub fn http_request(target: &str, method: &'static str, status: Option<u16>, began: Instant) {
    outbound(target, method, status.map_or(RequestOutcome::Unavailable, RequestOutcome::Status), began);
}

/// Records the result and the duration of a request that began at `began` and just ended. `target` is the name of the
/// chat network, or the name of the pipeline backend in the configuration. `method` is the name of the adapter method
/// that the engine called, such as `say` or `start`. For a request that an adapter sent, `method` is the HTTP method.
pub(crate) fn outbound(target: &str, method: &'static str, result: RequestOutcome, began: Instant) {
    let target = metrics::SharedString::from(target.to_owned());
    super::table::OUTBOUND
        .counter([
            ("target", target.clone()),
            ("method", method.into()),
            ("status", result.status().into()),
            ("success", if result.success() { "true" } else { "false" }.into()),
        ])
        .increment(1);
    super::table::OUTBOUND_SECONDS
        .seconds([("target", target), ("method", method.into())])
        .record(began.elapsed().as_secs_f64());
}

/// Counts a delivery of a webhook. `hook` is the name of the configured hook; `None` if the URL names an unknown hook.
/// `answer` is the result of the delivery in one word, for example `taken`.
pub fn hook(hook: Option<&str>, answer: &'static str) {
    hooks_counter(hook.unwrap_or_default(), answer).increment(1);
}

fn hooks_counter(hook: &str, answer: &'static str) -> metrics::Counter {
    super::table::HOOKS.counter([("hook", hook.to_owned().into()), ("answer", answer.into())])
}

/// Sets the state of a bot's connection to a chat network, and the total number of reconnects of the bot.
pub(crate) fn account(bot: &str, network: &'static str, up: bool, reconnects: u64) {
    let labels = || [("bot", metrics::SharedString::from(bot.to_owned())), ("network", network.into())];
    super::table::LINK_UP.gauge(labels()).set(if up { 1.0 } else { 0.0 });
    super::table::RECONNECTS.counter(labels()).absolute(reconnects);
}

pub(crate) fn open_jobs(phase: JobPhase, count: u64) {
    super::table::JOBS.gauge([("phase", phase_label(phase).into())]).set(count as f64);
}

/// Sets the metric that shows how late the most overdue job is. `late` is the time since the host should have woken
/// this job; zero if no job is overdue.
pub(crate) fn overdue(late: Duration) {
    super::table::OVERDUE.gauge([]).set(late.as_secs_f64());
}

pub(crate) fn plugins(loaded: usize, not_loaded: usize) {
    for (state, count) in [("loaded", loaded), ("not-loaded", not_loaded)] {
        super::table::PLUGINS.gauge([("state", state.into())]).set(count as f64);
    }
}

/// Sets the numbers of a store's referenced secrets by their state.
pub(crate) fn secret_store(store: &str, current: usize, kept: usize, missing: usize) {
    for (state, count) in [("current", current), ("kept", kept), ("missing", missing)] {
        super::table::SECRETS.gauge([("store", store.to_owned().into()), ("state", state.into())]).set(count as f64);
    }
}

/// Creates the counters of rare events with the value 0: counters for each of `schedules`, for each of `hooks` and for
/// ended jobs. If a counter began with the value 1, `increase()` of PromQL would miss the first event.
pub(crate) fn create_rare_counters<'a>(schedules: impl Iterator<Item = &'a str>, hooks: impl Iterator<Item = &'a str>) {
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

/// Returns the outcomes of the jobs that the changes in `writes` close. The caller counts the outcomes after it has
/// committed the changes.
pub(crate) fn closed_outcomes(writes: &[Write]) -> Vec<JobOutcome> {
    let end = |write: &Write| match write {
        Write::Close { end, .. } => Some(end.outcome),
        _ => None,
    };
    writes.iter().filter_map(end).collect()
}

/// Counts a job that ended with this outcome. The caller calls this function after it committed the end of the job.
pub(crate) fn job_ended(outcome: JobOutcome) {
    ended(outcome, 1);
}

fn ended(outcome: JobOutcome, count: u64) {
    let label = match outcome {
        JobOutcome::Succeeded => "succeeded",
        JobOutcome::Warnings => "warnings",
        JobOutcome::Failed => "failed",
        JobOutcome::Cancelled => "cancelled",
        JobOutcome::Refused => "refused",
        JobOutcome::NotApproved => "not-approved",
        JobOutcome::Unknown => "unknown",
    };
    super::table::JOBS_ENDED.counter([("outcome", label.into())]).increment(count);
}

/// Records the delay between a job's wake time and the time at which the host woke the job.
pub(crate) fn woken(late: Duration) {
    super::table::WAKE_LAG.seconds([]).record(late.as_secs_f64());
}

/// The outcome of one scheduled time of a schedule.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScheduleOutcome {
    /// The host started the scheduled command.
    Fired,
    /// The host was down at the scheduled time and did not start the command later.
    Skipped,
}

/// Adds `times` to the number of scheduled times that had this outcome. `schedule` is the name of the schedule in the
/// configuration.
pub(crate) fn scheduled(schedule: &str, outcome: ScheduleOutcome, times: usize) {
    let label = match outcome {
        ScheduleOutcome::Fired => "fired",
        ScheduleOutcome::Skipped => "skipped",
    };
    let labels = [("schedule", schedule.to_owned().into()), ("outcome", label.into())];
    super::table::SCHEDULES.counter(labels).increment(u64::try_from(times).unwrap_or(u64::MAX));
}

/// Records how long a chat network told the host to wait before the next request, because of its rate limit.
pub(crate) fn rate_limited(network: &'static str, wait: Duration) {
    super::table::RATE_LIMITED.seconds([("network", network.into())]).record(wait.as_secs_f64());
}

fn phase_label(phase: JobPhase) -> &'static str {
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
