//! Generates `METRICS.md` from the table of metrics.

use std::fmt::Write as _;

use super::{
    metric::{Label, Metric, MetricKind},
    table::TABLE,
};

/// Returns the content of `METRICS.md`.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` of the listener (`[http]` in `plugins.toml`) returns these metrics for Prometheus. This page is generated\n\
         from `host/engine/src/metrics/table.rs`. [packaging/alerts.yml](packaging/alerts.yml) has alert rules for them.\n\n\
         No label contains text that somebody typed or sent. Times are in seconds.\n\n\
         | metric | kind | labels | meaning |\n|---|---|---|---|\n",
    );
    for metric in TABLE {
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.as_str())).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        let _ = writeln!(text, "| `{}` | {} | {labels} | {} |", metric.name, kind(metric), metric.help);
    }
    text.push_str("\nLabels:\n\n| label | values |\n|---|---|\n");
    for label in Label::ALL {
        let _ = writeln!(text, "| `{}` | {} |", label.as_str(), label.values());
    }
    text.push_str("\nBuckets, in seconds:\n\n");
    for metric in TABLE {
        if let MetricKind::Seconds(bounds) = metric.kind {
            let bounds: Vec<String> = bounds.iter().map(f64::to_string).collect();
            let _ = writeln!(text, "- `{}`: {}", metric.name, bounds.join(", "));
        }
    }
    text
}

fn kind(metric: &Metric) -> &'static str {
    match metric.kind {
        MetricKind::Counter => "counter",
        MetricKind::Gauge => "gauge",
        MetricKind::Seconds(_) => "histogram",
    }
}

impl Label {
    /// All labels, in the order of `METRICS.md`.
    pub(crate) const ALL: [Self; 15] = [
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

    /// Returns a description of the label's values as Markdown.
    pub(crate) fn values(self) -> &'static str {
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
