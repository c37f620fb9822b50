//! The table: every metric there is, with its alerts.

use super::{
    alert::{Alert, Severity},
    metric::{Label, Metric, MetricKind},
};

/// Bounds for what a person waits for; the first answer is promised within a second.
const ANSWERS: &[f64] = &[0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0];
/// Bounds for a request to another machine.
const REQUESTS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0];
/// Bounds for what should not be at all.
const WAITS: &[f64] = &[0.01, 0.05, 0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 1800.0, 3600.0];

/// Every metric, in the order of the page.
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
    help: "Whether messages flow between an account and its network: 1 or 0.",
    alerts: &[
        Alert {
            name: "WardroomAway",
            expr: "absent(wardroom_link_up)",
            lasts: "5m",
            severity: Severity::Critical,
            summary: "No Wardroom host gives metrics. Is it running, and is its /metrics scraped?",
        },
        Alert {
            name: "WardroomDeaf",
            expr: "wardroom_link_up == 0",
            lasts: "5m",
            severity: Severity::Critical,
            summary: "{{ $labels.bot }} has no connection to {{ $labels.network }}: nobody there is answered. \
                      /readyz says why.",
        },
    ],
};

pub(crate) const RECONNECTS: Metric = Metric {
    name: "wardroom_reconnects_total",
    kind: MetricKind::Counter,
    labels: &[Label::Bot, Label::Network],
    help: "How often messages flowed again after they had not.",
    alerts: &[Alert {
        name: "WardroomLosesItsConnection",
        expr: "increase(wardroom_reconnects_total[1h]) > 6",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.bot }} loses its connection to {{ $labels.network }} again and again.",
    }],
};

pub(crate) const COMMANDS: Metric = Metric {
    name: "wardroom_commands_total",
    kind: MetricKind::Counter,
    labels: &[Label::Outcome],
    help: "Commands by what became of them: answered, carried-out, started (a job began), malformed, denied, late, unable.",
    alerts: &[],
};

pub(crate) const FIRST_ANSWER: Metric = Metric {
    name: "wardroom_first_answer_seconds",
    kind: MetricKind::Seconds(ANSWERS),
    labels: &[Label::Network],
    help: "From a typed command's arrival in this process to the first sign in its room that somebody heard it: an emoji or a message.",
    alerts: &[Alert {
        name: "WardroomAnswersLate",
        expr: "histogram_quantile(0.95, sum by (le, network) (rate(wardroom_first_answer_seconds_bucket[15m]))) > 2",
        lasts: "15m",
        severity: Severity::Warning,
        summary: "People on {{ $labels.network }} wait for more than two seconds until they are answered.",
    }],
};

pub(crate) const JOBS: Metric = Metric {
    name: "wardroom_jobs",
    kind: MetricKind::Gauge,
    labels: &[Label::JobPhase],
    help: "Open jobs by where they stand.",
    alerts: &[Alert {
        name: "WardroomJobNeedsSomebody",
        expr: "sum by (phase) (wardroom_jobs{phase=~\"asked|held\"}) > 0",
        lasts: "15m",
        severity: Severity::Warning,
        summary: "A job cannot go on by itself ({{ $labels.phase }}): type `jobs` in its room.",
    }],
};

pub(crate) const JOBS_ENDED: Metric = Metric {
    name: "wardroom_jobs_ended_total",
    kind: MetricKind::Counter,
    labels: &[Label::Outcome],
    help: "Jobs that ended: succeeded, warnings, failed, cancelled, refused, not-approved, unknown.",
    alerts: &[Alert {
        name: "WardroomJobsFail",
        expr: "sum(increase(wardroom_jobs_ended_total{outcome=~\"failed|unknown\"}[1h])) > 5 \
               and sum(increase(wardroom_jobs_ended_total{outcome=~\"failed|unknown\"}[1h])) \
               > 0.5 * sum(increase(wardroom_jobs_ended_total[1h]))",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "More than half of the jobs of the last hour failed, or nobody knows how they ended.",
    }],
};

pub(crate) const WAKE_LAG: Metric = Metric {
    name: "wardroom_wake_lag_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &[],
    help: "How much later than its time a job was woken; what came due while no host was there counts too.",
    alerts: &[],
};

pub(crate) const OVERDUE: Metric = Metric {
    name: "wardroom_overdue_wake_seconds",
    kind: MetricKind::Gauge,
    labels: &[],
    help: "How long ago the oldest job should have been woken that was not; 0 where none is overdue.",
    alerts: &[Alert {
        name: "WardroomWakesLate",
        expr: "wardroom_overdue_wake_seconds > 60",
        lasts: "5m",
        severity: Severity::Critical,
        summary: "A job should have gone on {{ $value | humanizeDuration }} ago and did not: the host is overloaded, or its store is slow.",
    }],
};

pub(crate) const CALLS: Metric = Metric {
    name: "wardroom_calls_total",
    kind: MetricKind::Counter,
    labels: &[Label::Plugin, Label::Call, Label::Decision],
    help: "Calls of plugins, by whether the rules let them pass; those answered from a journal and those of dry runs that act are not counted.",
    alerts: &[Alert {
        name: "WardroomPluginDenied",
        expr: "sum by (plugin, call) (increase(wardroom_calls_total{decision=\"denied\"}[15m])) > 20",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Plugin {{ $labels.plugin }} is refused {{ $labels.call }} again and again: a rule is missing, or it tries what it should not.",
    }],
};

pub(crate) const OUTBOUND: Metric = Metric {
    name: "wardroom_outbound_requests_total",
    kind: MetricKind::Counter,
    labels: &[Label::Target, Label::Method, Label::Status, Label::Success],
    help: "Requests to chat networks and pipelines systems: what the host asks of them under its own word, and the requests of HTTP that are made for it, where an adapter tells of them, under their methods.",
    alerts: &[Alert {
        name: "WardroomTargetFails",
        expr: "sum by (target) (rate(wardroom_outbound_requests_total{success=\"false\"}[10m])) \
               > 0.5 * sum by (target) (rate(wardroom_outbound_requests_total[10m]))",
        lasts: "10m",
        severity: Severity::Warning,
        summary: "More than half of the requests to {{ $labels.target }} fail.",
    }],
};

pub(crate) const OUTBOUND_SECONDS: Metric = Metric {
    name: "wardroom_outbound_request_seconds",
    kind: MetricKind::Seconds(REQUESTS),
    labels: &[Label::Target, Label::Method],
    help: "How long requests to chat networks and pipelines systems took, whatever came of them.",
    alerts: &[],
};

pub(crate) const RATE_LIMITED: Metric = Metric {
    name: "wardroom_rate_limit_wait_seconds",
    kind: MetricKind::Seconds(WAITS),
    labels: &[Label::Network],
    help: "For how long a network told us to wait before the next message; each wait is one.",
    alerts: &[Alert {
        name: "WardroomRateLimited",
        expr: "sum by (network) (increase(wardroom_rate_limit_wait_seconds_sum[15m])) > 300",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "{{ $labels.network }} slows us down: raise the rate limit of the bot's account there.",
    }],
};

pub(crate) const HOOKS: Metric = Metric {
    name: "wardroom_hooks_total",
    kind: MetricKind::Counter,
    labels: &[Label::Hook, Label::Answer],
    help: "Deliveries of other machines to hooks, by what they were answered.",
    alerts: &[Alert {
        name: "WardroomHookRefused",
        expr: "sum by (hook) (increase(wardroom_hooks_total{answer=~\"unauthorized|unknown\"}[15m])) > 20",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Deliveries to hook {{ $labels.hook }} do not prove who sent them: its secret was changed on one side only, or somebody is guessing.",
    }],
};

pub(crate) const SCHEDULES: Metric = Metric {
    name: "wardroom_schedules_total",
    kind: MetricKind::Counter,
    labels: &[Label::Schedule, Label::Outcome],
    help: "Times of schedules: fired, or skipped because no host was there.",
    alerts: &[Alert {
        name: "WardroomScheduleSkipped",
        expr: "increase(wardroom_schedules_total{outcome=\"skipped\"}[1h]) > 0",
        lasts: "0m",
        severity: Severity::Warning,
        summary: "Times of schedule {{ $labels.schedule }} came while the host was away, and were not made up for.",
    }],
};

pub(crate) const PLUGINS: Metric = Metric {
    name: "wardroom_plugins",
    kind: MetricKind::Gauge,
    labels: &[Label::State],
    help: "Plugins of the configuration, loaded or not.",
    alerts: &[Alert {
        name: "WardroomPluginNotLoaded",
        expr: "wardroom_plugins{state=\"not-loaded\"} > 0",
        lasts: "5m",
        severity: Severity::Warning,
        summary: "A plugin did not load, so its commands are not there: type `plugins` as an admin, or run `wardroom check`.",
    }],
};
