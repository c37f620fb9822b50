//! The table of all metrics.

use super::metric::{Metric, MetricKind};

/// The histogram buckets, in seconds, for the time from a command to its first reply. The time should be below one
/// second.
const ANSWERS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// The buckets, in seconds, for the durations of requests to chat networks and pipeline backends.
const REQUESTS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The buckets, in seconds, for the delays of jobs and the pauses that rate limits require.
const WAITS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0];

/// All metrics of a host, in the order of `METRICS.md`.
pub const TABLE: &[&Metric] = &[
    &LINK_UP,
    &RECONNECTS,
    &COMMANDS,
    &FIRST_ANSWER,
    &JOBS,
    &JOBS_ENDED,
    &WAKE_LAG,
    &OVERDUE,
    &CALLS,
    &OUTBOUND,
    &OUTBOUND_SECONDS,
    &RATE_LIMITED,
    &HOOKS,
    &SCHEDULES,
    &PLUGINS,
    &SECRETS,
];

pub(crate) const LINK_UP: Metric = Metric {
    name: "wardroom_link_up",
    kind: MetricKind::Gauge,
    labels: &["bot", "network"],
    help: "Whether a bot is connected to its chat network: 1 if the bot is connected, otherwise 0.",
};

pub(crate) const RECONNECTS: Metric = Metric {
    name: "wardroom_reconnects_total",
    kind: MetricKind::Counter,
    labels: &["bot", "network"],
    help: "How often a bot re-established a lost connection to its chat network.",
};

pub(crate) const COMMANDS: Metric = Metric {
    name: "wardroom_commands_total",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    help: "Commands by outcome: answered, carried-out (a command of the host made a change), started (the command created a job), malformed, denied, late, unable (the host had an error).",
};

pub(crate) const FIRST_ANSWER: Metric = Metric {
    name: "wardroom_first_answer_seconds",
    kind: MetricKind::Seconds(ANSWERS),
    labels: &["network"],
    help: "The time from the arrival of a command in this process to the first answer in the command's room, which is a reaction or a message. Only commands that a person typed are measured.",
};

pub(crate) const JOBS: Metric =
    Metric { name: "wardroom_jobs", kind: MetricKind::Gauge, labels: &["phase"], help: "Open jobs by phase." };

pub(crate) const JOBS_ENDED: Metric = Metric {
    name: "wardroom_jobs_ended_total",
    kind: MetricKind::Counter,
    labels: &["outcome"],
    help: "Ended jobs by outcome: succeeded, warnings, failed, cancelled, refused, not-approved, unknown.",
};

pub(crate) const WAKE_LAG: Metric = Metric {
    name: "wardroom_wake_lag_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &[],
    help: "The delay between a job's wake time and its wake-up, including downtime of the host.",
};

pub(crate) const OVERDUE: Metric = Metric {
    name: "wardroom_overdue_wake_seconds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "The delay of the most overdue job: the time since its wake time; 0 if no job is overdue.",
};

pub(crate) const CALLS: Metric = Metric {
    name: "wardroom_calls_total",
    kind: MetricKind::Counter,
    labels: &["plugin", "call", "decision"],
    help: "Host calls of plugins by decision. Replayed calls and the effects of dry runs are not counted.",
};

pub(crate) const OUTBOUND: Metric = Metric {
    name: "wardroom_outbound_requests_total",
    kind: MetricKind::Counter,
    labels: &["target", "method", "status", "success"],
    help: "Requests to chat networks and pipeline backends: calls of adapter methods by the host, and HTTP requests that the adapters sent.",
};

pub(crate) const OUTBOUND_SECONDS: Metric = Metric {
    name: "wardroom_outbound_request_seconds",
    kind: MetricKind::Seconds(REQUESTS),
    labels: &["target", "method"],
    help: "The duration of requests to chat networks and pipeline backends, including failed requests.",
};

pub(crate) const RATE_LIMITED: Metric = Metric {
    name: "wardroom_rate_limit_wait_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &["network"],
    help: "The delays that the rate limit of a chat network required before the next request.",
};

pub(crate) const HOOKS: Metric = Metric {
    name: "wardroom_hooks_total",
    kind: MetricKind::Counter,
    labels: &["hook", "answer"],
    help: "Deliveries of webhooks by the host's answer to the delivery.",
};

pub(crate) const SCHEDULES: Metric = Metric {
    name: "wardroom_schedules_total",
    kind: MetricKind::Counter,
    labels: &["schedule", "outcome"],
    help: "Scheduled times by outcome: fired (the command was started), or skipped because the host was down.",
};

pub(crate) const PLUGINS: Metric = Metric {
    name: "wardroom_plugins",
    kind: MetricKind::Gauge,
    labels: &["state"],
    help: "The number of configured plugins by state.",
};

pub(crate) const SECRETS: Metric = Metric {
    name: "wardroom_secrets",
    kind: MetricKind::Gauge,
    labels: &["store", "state"],
    help: "The referenced secrets of a secret store by state: current, kept (it cannot be read now, and its last value is in use), missing (it has no value).",
};
