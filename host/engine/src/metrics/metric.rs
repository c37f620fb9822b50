//! The types of metrics and labels, and the registration of metrics.
//!
//! The crate `metrics` passes each metric to the recorder that the process installs before it builds an
//! [`crate::Engine`]. Without a recorder, metrics are dropped at almost no cost. `METRICS.md` is generated from
//! [`TABLE`].
//!
//! Invariant: every metric is a row of [`TABLE`]. The value of a label comes from the host, the contract or the
//! configuration, and never from text that somebody typed or sent.
//! Not here: the export of metrics to Prometheus (`host/http`).

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, SharedString, Unit};

use super::table::TABLE;

/// A metric: one row of [`TABLE`].
#[derive(Debug)]
pub struct Metric {
    /// The name of the metric in Prometheus, for example `wardroom_jobs`.
    pub name: &'static str,
    pub(crate) kind: MetricKind,
    /// The labels, in the order in which the code must pass their values.
    pub(crate) labels: &'static [Label],
    /// The description of the metric for `METRICS.md` and for Prometheus.
    pub(crate) help: &'static str,
}

/// The type of a metric in Prometheus.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum MetricKind {
    /// A number that only increases.
    Counter,
    /// A number that increases and decreases.
    Gauge,
    /// A histogram of durations in seconds, with these upper bounds of the buckets.
    Seconds(&'static [f64]),
}

/// A label of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Label {
    /// The outcome of a command, of a job or of a scheduled time.
    Outcome,
    /// The name of a bot in the configuration.
    Bot,
    /// The name of a chat network, for example `matrix`.
    Network,
    /// The phase of an open job, for example `run`.
    JobPhase,
    /// The name of a plugin in the configuration.
    Plugin,
    /// The name of a host call, for example `pipelines.trigger`.
    Call,
    /// The host's decision about a host call.
    Decision,
    /// The system that receives a request: a chat network or a pipeline backend.
    Target,
    /// The HTTP method of a request, or the adapter method that the engine called.
    Method,
    /// The class of an HTTP status such as `2xx`, or the result in one word such as `ok`.
    Status,
    /// Whether a request succeeded: `true` or `false`.
    Success,
    /// The name of a hook in the configuration.
    Hook,
    /// The result of the delivery of a webhook, in one word such as `taken`.
    Answer,
    /// The name of a schedule in the configuration.
    Schedule,
    /// The state of a plugin: `loaded` or `not-loaded`.
    State,
}

impl Label {
    /// Returns the name of the label in Prometheus.
    pub(crate) fn as_str(self) -> &'static str {
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
}

const METADATA: Metadata<'static> = Metadata::new("wardroom", Level::INFO, None);

impl Metric {
    /// Returns the upper bounds of the histogram buckets, in seconds; `None` if the metric is not a histogram.
    pub fn buckets(&self) -> Option<&'static [f64]> {
        match self.kind {
            MetricKind::Seconds(bounds) => Some(bounds),
            MetricKind::Counter | MetricKind::Gauge => None,
        }
    }

    /// Returns the names of the metric's labels in Prometheus.
    pub fn label_names(&self) -> impl Iterator<Item = &'static str> {
        self.labels.iter().map(|label| label.as_str())
    }

    /// Returns the key of the metric with these label values in the metrics recorder. A debug build panics if `labels`
    /// are not the labels of [`Metric::labels`] in the same order.
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

/// Registers the descriptions of all metrics with the installed recorder. The host calls this function once, before
/// Prometheus reads the metrics for the first time.
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
