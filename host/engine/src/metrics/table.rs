//! The table of all metrics, with their alerts.

use super::{
    alert::{Alert, Severity},
    metric::{Label, Metric, MetricKind},
};

/// The buckets for waiting times of people. The first answer is promised within a second.
const ANSWERS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// The buckets for requests to other systems.
const REQUESTS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// The buckets for delays.
const WAITS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0];

/// All metrics, in the order of `METRICS.md`.
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
];

pub(crate) const LINK_UP: Metric = Metric {
    name: "wardroom_link_up",
    kind: MetricKind::Gauge,
    labels: &[Label::Bot, Label::Network],
    help: "Whether an account is connected to its network: 1 or 0.",
    alerts: &[
        Alert {
            name: "WardroomAway",
            expr: "absent(wardroom_link_up)",
            lasts: "5m",
            severity: Severity::Critical,
            summary: "No Wardroom host exports metrics. Check that it runs and that its /metrics is scraped.",
        },
        Alert {
            name: "WardroomDeaf",
            expr: "wardroom_link_up == 0",
            lasts: "5m",
            severity: Severity::Critical,
            summary: "{{ $labels.bot }} is not connected to {{ $labels.network }}, so commands there are not answered. \
                      See /readyz for the reason.",
        },
    ],
};

pub(crate) const RECONNECTS: Metric = Metric {
    name: "wardroom_reconnects_total",
    kind: MetricKind::Counter,
    labels: &[Label::Bot, Label::Network],
    help: "The number of times that a lost connection was re-established.",
    alerts: &[Alert {
        name: "WardroomLosesItsConnection",
        expr: "increase(wardroom_reconnects_total[1h]) > 6",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.bot }} loses its connection to {{ $labels.network }} repeatedly. Check the network and the host's log.",
    }],
};

pub(crate) const COMMANDS: Metric = Metric {
    name: "wardroom_commands_total",
    kind: MetricKind::Counter,
    labels: &[Label::Outcome],
    help: "Commands by outcome: answered, carried-out, started (a job was opened), malformed, denied, late, unable.",
    alerts: &[],
};

pub(crate) const FIRST_ANSWER: Metric = Metric {
    name: "wardroom_first_answer_seconds",
    kind: MetricKind::Seconds(ANSWERS),
    labels: &[Label::Network],
    help: "The time from a typed command's arrival in this process to the first answer in its room: a reaction or a message.",
    alerts: &[Alert {
        name: "WardroomAnswersLate",
        expr: "histogram_quantile(0.95, sum by (le, network) (rate(wardroom_first_answer_seconds_bucket[15m]))) > 2",
        lasts: "15m",
        severity: Severity::Warning,
        summary: "People on {{ $labels.network }} wait more than two seconds for the first answer.",
    }],
};

pub(crate) const JOBS: Metric = Metric {
    name: "wardroom_jobs",
    kind: MetricKind::Gauge,
    labels: &[Label::JobPhase],
    help: "Open jobs by phase.",
    alerts: &[Alert {
        name: "WardroomJobNeedsSomebody",
        expr: "sum by (phase) (wardroom_jobs{phase=~\"asked|held\"}) > 0",
        lasts: "15m",
        severity: Severity::Warning,
        summary: "A job needs a person's decision ({{ $labels.phase }}). Run `jobs` in its room.",
    }],
};

pub(crate) const JOBS_ENDED: Metric = Metric {
    name: "wardroom_jobs_ended_total",
    kind: MetricKind::Counter,
    labels: &[Label::Outcome],
    help: "Ended jobs by outcome: succeeded, warnings, failed, cancelled, refused, not-approved, unknown.",
    alerts: &[Alert {
        name: "WardroomJobsFail",
        expr: "sum(increase(wardroom_jobs_ended_total{outcome=~\"failed|unknown\"}[1h])) > 5 \
               and sum(increase(wardroom_jobs_ended_total{outcome=~\"failed|unknown\"}[1h])) \
               > 0.5 * sum(increase(wardroom_jobs_ended_total[1h]))",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "More than half of the jobs of the last hour failed or ended with an unknown result.",
    }],
};

pub(crate) const WAKE_LAG: Metric = Metric {
    name: "wardroom_wake_lag_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &[],
    help: "The delay of a job's wake-up after its time, including downtime of the host.",
    alerts: &[],
};

pub(crate) const OVERDUE: Metric = Metric {
    name: "wardroom_overdue_wake_seconds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "The delay of the job that is overdue for the longest time; 0 if none is overdue.",
    alerts: &[Alert {
        name: "WardroomWakesLate",
        expr: "wardroom_overdue_wake_seconds > 60",
        lasts: "5m",
        severity: Severity::Critical,
        summary: "A job is overdue by {{ $value | humanizeDuration }}: the host is overloaded, or its database is slow.",
    }],
};

pub(crate) const CALLS: Metric = Metric {
    name: "wardroom_calls_total",
    kind: MetricKind::Counter,
    labels: &[Label::Plugin, Label::Call, Label::Decision],
    help: "Calls of plugins by decision. Replayed calls and acting calls of dry runs are not counted.",
    alerts: &[Alert {
        name: "WardroomPluginDenied",
        expr: "sum by (plugin, call) (increase(wardroom_calls_total{decision=\"denied\"}[15m])) > 20",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Plugin {{ $labels.plugin }} is denied {{ $labels.call }} repeatedly: a grant is missing, or the plugin misbehaves.",
    }],
};

pub(crate) const OUTBOUND: Metric = Metric {
    name: "wardroom_outbound_requests_total",
    kind: MetricKind::Counter,
    labels: &[Label::Target, Label::Method, Label::Status, Label::Success],
    help: "Requests to chat networks and pipeline backends: the engine's calls of adapters by their names, and the adapters' HTTP requests by HTTP method.",
    alerts: &[Alert {
        name: "WardroomTargetFails",
        expr: "sum by (target) (rate(wardroom_outbound_requests_total{success=\"false\"}[10m])) \
               > 0.5 * sum by (target) (rate(wardroom_outbound_requests_total[10m]))",
        lasts: "10m",
        severity: Severity::Warning,
        summary: "More than half of the requests to {{ $labels.target }} fail. Check that it is reachable and that the credentials are valid.",
    }],
};

pub(crate) const OUTBOUND_SECONDS: Metric = Metric {
    name: "wardroom_outbound_request_seconds",
    kind: MetricKind::Seconds(REQUESTS),
    labels: &[Label::Target, Label::Method],
    help: "The duration of requests to chat networks and pipeline backends, successful or not.",
    alerts: &[],
};

pub(crate) const RATE_LIMITED: Metric = Metric {
    name: "wardroom_rate_limit_wait_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &[Label::Network],
    help: "The pauses that a network's rate limit required.",
    alerts: &[Alert {
        name: "WardroomRateLimited",
        expr: "sum by (network) (increase(wardroom_rate_limit_wait_seconds_sum[15m])) > 300",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.network }} limits the bot's rate. Raise the rate limit of the bot's account there.",
    }],
};

pub(crate) const HOOKS: Metric = Metric {
    name: "wardroom_hooks_total",
    kind: MetricKind::Counter,
    labels: &[Label::Hook, Label::Answer],
    help: "Deliveries to hooks by answer.",
    alerts: &[Alert {
        name: "WardroomHookRefused",
        expr: "sum by (hook) (increase(wardroom_hooks_total{answer=~\"unauthorized|unknown\"}[15m])) > 20",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Deliveries to hook {{ $labels.hook }} fail authentication: its secret was changed on one side only, or somebody is guessing it.",
    }],
};

pub(crate) const SCHEDULES: Metric = Metric {
    name: "wardroom_schedules_total",
    kind: MetricKind::Counter,
    labels: &[Label::Schedule, Label::Outcome],
    help: "Scheduled times by outcome: fired, or skipped because the host was down.",
    alerts: &[Alert {
        name: "WardroomScheduleSkipped",
        expr: "increase(wardroom_schedules_total{outcome=\"skipped\"}[1h]) > 0",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Times of schedule {{ $labels.schedule }} were missed while the host was down, and were skipped.",
    }],
};

pub(crate) const PLUGINS: Metric = Metric {
    name: "wardroom_plugins",
    kind: MetricKind::Gauge,
    labels: &[Label::State],
    help: "Plugins of the configuration by state.",
    alerts: &[Alert {
        name: "WardroomPluginNotLoaded",
        expr: "wardroom_plugins{state=\"not-loaded\"} > 0",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "A plugin did not load, so its commands are missing. Run `plugins` as an admin, or `wardroom check`.",
    }],
};
