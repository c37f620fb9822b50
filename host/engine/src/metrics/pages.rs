//! The generated files `METRICS.md` and `packaging/alerts.yml`.
//!
//! Invariant: both depend on the table only.

use std::fmt::Write as _;

use super::{
    metric::{Label, Metric, MetricKind},
    table::TABLE,
};

/// `METRICS.md`.
pub(super) fn page() -> String {
    let mut text = String::from(
        "# Metrics\n\n\
         `GET /metrics` of the listener (`[http]` in `plugins.toml`) returns these metrics for Prometheus. This page and the rules in\n\
         [packaging/alerts.yml](packaging/alerts.yml) are generated from one table, `host/engine/src/metrics/table.rs`.\n\n\
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
    text.push_str("\n## Alerts\n\n| alert | expression | for | severity | meaning |\n|---|---|---|---|---|\n");
    for alert in TABLE.iter().flat_map(|metric| metric.alerts) {
        let expr = alert.expr.replace('|', "\\|");
        let _ = writeln!(
            text,
            "| {} | `{expr}` | {} | {} | {} |",
            alert.name,
            alert.lasts,
            alert.severity.as_str(),
            alert.summary.replace('|', "\\|")
        );
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

pub(super) fn alerts() -> String {
    let mut text = String::from(
        "# Rules for Prometheus. Generated from the table in host/engine/src/metrics/table.rs; METRICS.md explains the metrics.\n\
         groups:\n  - name: wardroom\n    rules:\n",
    );
    for alert in TABLE.iter().flat_map(|metric| metric.alerts) {
        let _ = write!(
            text,
            "      - alert: {}\n        expr: {}\n        for: {}\n        labels:\n          severity: {}\n        \
             annotations:\n          summary: {}\n",
            alert.name,
            quoted(alert.expr),
            alert.lasts,
            alert.severity.as_str(),
            quoted(alert.summary)
        );
    }
    text
}

/// A single-quoted YAML string.
fn quoted(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}
