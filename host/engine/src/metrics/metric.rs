//! The types of metrics and labels, and the registration of metrics.
//!
//! The crate `metrics` passes each metric to the recorder that the process installs before it builds an
//! [`crate::Engine`]. Without a recorder, metrics are dropped at almost no cost. `METRICS.md` is generated from
//! [`TABLE`](super::TABLE).
//!
//! Invariant: every metric is a row of [`TABLE`](super::TABLE). The value of a label comes from the host, the contract
//! or the configuration, and never from text that somebody typed or sent.
//! Not here: the export of metrics to Prometheus (`host/http`).

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, Recorder, SharedString, Unit};

/// A metric: one row of [`TABLE`](super::TABLE).
#[derive(Debug)]
pub struct Metric {
    /// The name of the metric in Prometheus, for example `wardroom_jobs`.
    pub name: &'static str,
    pub(crate) kind: MetricKind,
    /// The names of the labels in Prometheus, in the order in which the code must pass their values.
    pub(crate) labels: &'static [&'static str],
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
        self.labels.iter().copied()
    }

    /// Returns the key under which the recorder stores the metric with these label values. `labels` are pairs of name
    /// and value. A debug build panics if their names are not those of [`Metric::labels`] in the same order.
    fn key<const N: usize>(&self, labels: [(&'static str, SharedString); N]) -> Key {
        debug_assert!(
            labels.iter().map(|(label, _)| *label).eq(self.labels.iter().copied()),
            "{} has the labels {:?}",
            self.name,
            self.labels
        );
        let labels = labels.into_iter().map(|(label, value)| metrics::Label::new(label, value));
        Key::from_parts(self.name, labels.collect::<Vec<_>>())
    }

    /// Registers the description of the metric with a recorder.
    pub fn describe(&self, recorder: &impl Recorder) {
        let (name, help) = (self.name.into(), self.help.into());
        match self.kind {
            MetricKind::Counter => recorder.describe_counter(name, None, help),
            MetricKind::Gauge => recorder.describe_gauge(name, None, help),
            MetricKind::Seconds(_) => recorder.describe_histogram(name, Some(Unit::Seconds), help),
        }
    }

    pub(crate) fn counter<const N: usize>(&self, labels: [(&'static str, SharedString); N]) -> Counter {
        debug_assert_eq!(self.kind, MetricKind::Counter, "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_counter(&key, &METADATA))
    }

    pub(crate) fn gauge<const N: usize>(&self, labels: [(&'static str, SharedString); N]) -> Gauge {
        debug_assert_eq!(self.kind, MetricKind::Gauge, "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_gauge(&key, &METADATA))
    }

    pub(crate) fn seconds<const N: usize>(&self, labels: [(&'static str, SharedString); N]) -> Histogram {
        debug_assert!(matches!(self.kind, MetricKind::Seconds(_)), "{}", self.name);
        let key = self.key(labels);
        metrics::with_recorder(|recorder| recorder.register_histogram(&key, &METADATA))
    }
}
