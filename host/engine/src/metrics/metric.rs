//! What the host counts and measures, for who watches over it: one table, and small functions that record.
//!
//! Invariant: a metric has a row in [`TABLE`], and nothing else is recorded: names and labels are values of this folder's
//! types, so none can be misspelt. A label's value is a word of the host, of the contract or of the operator's file, never
//! of what somebody typed or sent.
//! What is recorded goes to the recorder of the crate `metrics` that the process has installed before it builds an
//! [`crate::Engine`]; without one it goes nowhere and costs next to nothing.
//! Not here: how metrics are shown to others. `METRICS.md` and `packaging/alerts.yml` are written from the table
//! ([`page`], [`alerts`]).

use metrics::{Counter, Gauge, Histogram, Key, Level, Metadata, SharedString, Unit};

use super::{alert::Alert, table::TABLE};

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// Its name, as a scrape shows it.
    pub name: &'static str,
    /// What it is.
    pub kind: MetricKind,
    /// What it is told apart by, in this order.
    pub labels: &'static [Label],
    /// What it says, one sentence.
    pub help: &'static str,
    /// The alerts that lean on it.
    pub alerts: &'static [Alert],
}

/// What a metric is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum MetricKind {
    /// It only goes up.
    Counter,
    /// It is what it is at the moment of the scrape.
    Gauge,
    /// Times in seconds, sorted into buckets with these upper bounds.
    Seconds(&'static [f64]),
}

/// What metrics are told apart by. The list is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Label {
    /// How it ended, in one word.
    Outcome,
    /// An identity of the configuration.
    Bot,
    /// A chat network.
    Network,
    /// Where an open job stands.
    JobPhase,
    /// A plugin of the configuration.
    Plugin,
    /// A call of the contract.
    Call,
    /// Whether the rules let it pass.
    Decision,
    /// What was asked: a chat network, or a pipelines system of the configuration.
    Target,
    /// What it was asked for.
    Method,
    /// The class of an HTTP answer, or a word for how it went.
    Status,
    /// Whether it did what was asked.
    Success,
    /// A hook of the configuration.
    Hook,
    /// What was answered.
    Answer,
    /// A schedule of the configuration.
    Schedule,
    /// Whether it is there to be used.
    State,
}

impl Label {
    /// All of them.
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

    /// Its name.
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

    /// What its values are, for the page.
    pub fn values(self) -> &'static str {
        match self {
            Self::Outcome => "how it ended, one word of a fixed list",
            Self::Bot => "an identity, by its name in `[bot.NAME]`",
            Self::Network => "a chat network: `console`, `matrix`, `mattermost`",
            Self::JobPhase => {
                "where a job stands: `working`, `run`, `time`, `line`, `later`, `asked`, `approval`, `held`"
            }
            Self::Plugin => "a plugin, by its name in `[plugin.NAME]`",
            Self::Call => "a call of the contract: `pipelines.trigger`",
            Self::Decision => {
                "`allowed`; `denied` by a rule; `turned-away`, as its place was taken or its job called off"
            }
            Self::Target => {
                "a chat network, or a pipelines system by its name in `[pipelines.NAME]` (or its kind, where it has none)"
            }
            Self::Method => {
                "what was asked for: a method of HTTP, or `say`, `edit`, `react`, `find`, `start`, `state`, `output`, `cancel`, `forget`"
            }
            Self::Status => "`2xx` to `5xx` where an answer of HTTP is known; else `ok`, `limited`, `away`, `refused`",
            Self::Success => "`true` or `false`",
            Self::Hook => "a hook, by its `name`; empty where there is none of that name",
            Self::Answer => {
                "what a delivery was answered: `taken`, `again`, `left`, `malformed`, `unauthorized`, `unknown`, `too-large`, `too-many`, `too-slow`, `later`"
            }
            Self::Schedule => "a schedule, by its `name`",
            Self::State => "`loaded` or `not-loaded`",
        }
    }
}

const METADATA: Metadata<'static> = Metadata::new("wardroom", Level::INFO, None);

impl Metric {
    /// What it is told apart by, given in the order of its row.
    fn key<const N: usize>(&self, labels: [(Label, SharedString); N]) -> Key {
        debug_assert!(
            labels.iter().map(|(label, _)| *label).eq(self.labels.iter().copied()),
            "{} is told apart by {:?}",
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

/// Tells the installed recorder what there is. Once, before the first scrape.
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
