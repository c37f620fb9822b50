//! The types of metrics and labels, and their registration.
//!
//! Invariant: every metric has a row in [`TABLE`]. Names and labels are values of this module's types, so they cannot
//! be misspelt. A label's value is from the host, the contract or the configuration, never text that somebody typed or
//! sent.
//! Metrics go to the recorder of the crate `metrics` that the process installed before it built an [`crate::Engine`].
//! Without a recorder they are dropped at almost no cost.
//! Not here: exporting metrics. `METRICS.md` and `packaging/alerts.yml` are generated from the table.

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, SharedString, Unit};

use super::{alert::Alert, table::TABLE};

/// A row of the table of metrics.
#[derive(Debug)]
pub struct Metric {
    /// The name in a scrape.
    pub name: &'static str,
    pub kind: MetricKind,
    /// The labels, in this order.
    pub labels: &'static [Label],
    /// The description, in one sentence.
    pub help: &'static str,
    /// The alerts that use the metric.
    pub alerts: &'static [Alert],
}

/// The kind of a metric.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// Only increases.
    Counter,
    /// The value at the time of the scrape.
    Gauge,
    /// A histogram of durations in seconds, with these upper bounds.
    Seconds(&'static [f64]),
}

/// The labels of metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// The outcome of a command, job or schedule.
    Outcome,
    /// A bot of the configuration.
    Bot,
    /// A chat network.
    Network,
    /// The phase of an open job.
    JobPhase,
    /// A plugin of the configuration.
    Plugin,
    /// A call of the contract.
    Call,
    /// The decision about a call.
    Decision,
    /// The receiver of a request: a chat network, or a pipeline backend of the configuration.
    Target,
    /// The method of a request.
    Method,
    /// The class of an HTTP status, or the result in one word.
    Status,
    /// Whether the request succeeded.
    Success,
    /// A hook of the configuration.
    Hook,
    /// The answer to a delivery.
    Answer,
    /// A schedule of the configuration.
    Schedule,
    /// Whether a plugin is loaded.
    State,
}

impl Label {
    /// All labels, in the order of `METRICS.md`.
    pub const ALL: [Self; 15] = [
        Self::Outcome,
        Self::Bot,
        Self::Network,
        Self::JobPhase,
        Self::Plugin,
        Self::Call,
        Self::Decision,
        Self::Target,
        Self::Method,
        Self::Status,
        Self::Success,
        Self::Hook,
        Self::Answer,
        Self::Schedule,
        Self::State,
    ];

    /// The name in a scrape.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Outcome => "outcome",
            Self::Bot => "bot",
            Self::Network => "network",
            Self::JobPhase => "phase",
            Self::Plugin => "plugin",
            Self::Call => "call",
            Self::Decision => "decision",
            Self::Target => "target",
            Self::Method => "method",
            Self::Status => "status",
            Self::Success => "success",
            Self::Hook => "hook",
            Self::Answer => "answer",
            Self::Schedule => "schedule",
            Self::State => "state",
        }
    }

    /// The values, as text for `METRICS.md`.
    pub fn values(self) -> &'static str {
        match self {
            Self::Outcome => "the outcome, one value of a fixed list",
            Self::Bot => "a bot, by its name in `[bot.NAME]`",
            Self::Network => "a chat network: `console`, `matrix`, `mattermost`",
            Self::JobPhase => {
                "the phase of a job: `working`, `run`, `time`, `line`, `later`, `asked`, `approval`, `held`"
            }
            Self::Plugin => "a plugin, by its name in `[plugin.NAME]`",
            Self::Call => "a call of the contract: `pipelines.trigger`",
            Self::Decision => {
                "`allowed`; `denied` by a rule; `turned-away` because the deployment lock is held or the job was cancelled"
            }
            Self::Target => {
                "a chat network, or a pipeline backend by its name in `[pipelines.NAME]` (or its kind, if it has no table)"
            }
            Self::Method => {
                "an HTTP method, or `say`, `edit`, `react`, `find`, `start`, `state`, `output`, `cancel`, `forget`"
            }
            Self::Status => "`2xx` to `5xx` for an HTTP answer; otherwise `ok`, `limited`, `away`, `refused`",
            Self::Success => "`true` or `false`",
            Self::Hook => "a hook, by its `name`; empty for an unknown name",
            Self::Answer => {
                "the answer to a delivery: `taken`, `again`, `left`, `malformed`, `unauthorized`, `unknown`, `too-large`, `too-many`, `too-slow`, `later`"
            }
            Self::Schedule => "a schedule, by its `name`",
            Self::State => "`loaded` or `not-loaded`",
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new("wardroom", Level::INFO, None);

impl Metric {
    /// The key of a metric. The labels must be those of its row, in order.
    fn key<const N: usize>(&self, labels: [(Label, SharedString); N]) -> Key {
        debug_assert!(
            labels.iter().map(|(label, _)| *label).eq(self.labels.iter().copied()),
            "{} has the labels {:?}",
            self.name,
            self.labels
        );
        let labels = labels.into_iter().map(|(label, value)| metrics::Label::new(label.as_str(), value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    pub(crate) fn counter<const N: usize>(&self, labels: [(Label, SharedString); N]) -> Counter {
        debug_assert_eq!(self.kind, MetricKind::Counter, "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }

    pub(crate) fn gauge<const N: usize>(&self, labels: [(Label, SharedString); N]) -> Gauge {
        debug_assert_eq!(self.kind, MetricKind::Gauge, "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    pub(crate) fn seconds<const N: usize>(&self, labels: [(Label, SharedString); N]) -> Histogram {
        debug_assert!(matches!(self.kind, MetricKind::Seconds(_)), "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}

/// Describes all metrics to the installed recorder. Called once, before the first scrape.
pub fn describe() {
    for metric in TABLE {
        let (name, help) = (metric.name.into(), metric.help.into());
        metrics::with_recorder(|recorder| match metric.kind {
            MetricKind::Counter => recorder.describe_counter(name, None, help),
            MetricKind::Gauge => recorder.describe_gauge(name, None, help),
            MetricKind::Seconds(_) => recorder.describe_histogram(name, Some(Unit::Seconds), help),
        });
    }
}
