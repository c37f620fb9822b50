//! Generates `METRICS.md` from the table of metrics.

use std::fmt::Write as _;

use super::{
    metric::{Metric, MetricKind},
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
        let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{label}`")).collect();
        let labels = if labels.is_empty() { "none".to_owned() } else { labels.join(", ") };
        let _ = writeln!(text, "| `{}` | {} | {labels} | {} |", metric.name, kind(metric), metric.help);
    }
    text.push_str("\nLabels:\n\n| label | values |\n|---|---|\n");
    for (label, values) in LABELS {
        let _ = writeln!(text, "| `{label}` | {values} |");
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

/// The labels in the order of `METRICS.md`, each with a description of its values as Markdown.
pub(super) const LABELS: [(&str, &str); 16] = [
    ("outcome", "the outcome: one of the words that the meaning of the metric lists"),
    ("bot", "a bot, by its name in `[bot.NAME]`"),
    ("network", "a chat network: `console`, `matrix`, `mattermost`"),
    (
        "phase",
        "the phase of a job: `working`, `run` (waits for a pipeline run), `time` (waits for a time), `line` (waits for a deployment lock), `later` (is scheduled), `asked` (waits for a person's answer about an effect in doubt), `approval` (waits for approval), `held` (waits for a person after an error)",
    ),
    ("plugin", "a plugin, by its name in `[plugin.NAME]`"),
    ("call", "a call of the contract: `pipelines.trigger`"),
    (
        "decision",
        "`allowed`; `denied` by a rule; `turned-away` because the deployment lock is held or the job was cancelled",
    ),
    (
        "target",
        "a chat network, a pipeline backend by its name in `[pipelines.NAME]` (or its kind, if it has no table), or `vault.NAME`",
    ),
    (
        "method",
        "an HTTP method, or the name of an adapter method: `say`, `edit`, `react`, `find`, `start`, `state`, `output`, `cancel`, `forget`",
    ),
    (
        "status",
        "`2xx` to `5xx` for an HTTP answer; otherwise `ok`, `limited` (by the server's rate limit), `away` (the server did not respond or is unavailable), `refused`",
    ),
    ("success", "`true` or `false`"),
    ("hook", "a hook, by its `name`; empty for an unknown name"),
    (
        "answer",
        "the answer to a delivery: `taken` (accepted), `again` (a duplicate), `left` (ignored), `malformed`, `unauthorized`, `unknown` (no such hook), `too-large`, `too-many` (rate limit), `too-slow`, `later` (the host is busy or unavailable)",
    ),
    ("schedule", "a schedule, by its `name`"),
    ("store", "a secret store, by the name of its table: `vault.prod`"),
    ("state", "of plugins: `loaded` or `not-loaded`; of secrets: `current`, `kept` or `missing`"),
];
