//! Tests of the table and of the files that are generated from it.

use std::{collections::BTreeSet, env, fs, path::Path};

use super::{
    pages::{alerts, page},
    *,
};

#[test]
fn every_row_has_valid_and_unique_names() {
    let (mut names, mut alerts) = (BTreeSet::new(), BTreeSet::new());
    for metric in TABLE {
        let name = metric.name;
        assert!(names.insert(name), "{name} is defined twice");
        assert!(name.starts_with("wardroom_"), "{name}");
        assert!(name.bytes().all(|b| b.is_ascii_lowercase() || b == b'_') && !name.contains("__"), "{name}");
        match metric.kind {
            MetricKind::Counter => assert!(name.ends_with("_total"), "{name}"),
            MetricKind::Gauge => assert!(!name.ends_with("_total"), "{name}"),
            MetricKind::Seconds(bounds) => {
                assert!(name.ends_with("_seconds"), "{name}");
                assert!(
                    bounds.is_sorted_by(|a, b| a < b) && bounds.first().is_some_and(|bound| *bound > 0.0),
                    "{name}"
                );
            }
        }
        assert!(metric.help.ends_with('.') && !metric.help.contains('|'), "{name}: {}", metric.help);
        let labels: BTreeSet<_> = metric.labels.iter().collect();
        assert_eq!(labels.len(), metric.labels.len(), "{name} has a label twice");
        for alert in metric.alerts {
            assert!(alerts.insert(alert.name), "{} is there twice", alert.name);
            assert!(alert.expr.contains(name), "{} leans on {name}", alert.name);
            let duration = crate::base::parse_duration(alert.lasts);
            assert!(duration.is_some() || alert.lasts == "0m", "{}: {}", alert.name, alert.lasts);
            assert!(alert.summary.ends_with(['.', '?']) && !alert.summary.contains('\n'), "{}", alert.name);
        }
    }
    let used: BTreeSet<_> = TABLE.iter().flat_map(|metric| metric.labels).copied().collect();
    assert_eq!(used, Label::ALL.into_iter().collect(), "a label that no metric uses");
    // Alerts refer to existing metrics and labels.
    let word = regex::Regex::new(r"wardroom_[a-z_]+").unwrap();
    let label = regex::Regex::new(r"\$labels\.([a-z]+)").unwrap();
    for alert in TABLE.iter().flat_map(|metric| metric.alerts) {
        for found in word.find_iter(alert.expr) {
            let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| found.as_str().strip_suffix(end));
            assert!(names.contains(found.as_str()) || base.is_some_and(|base| names.contains(base)), "{}", alert.expr);
        }
        for found in label.captures_iter(alert.summary) {
            let known = Label::ALL.into_iter().any(|label| label.as_str() == &found[1]);
            assert!(known, "{}: {}", alert.name, alert.summary);
        }
    }
}

/// `WARDROOM_BLESS=1` rewrites the files.
#[test]
fn the_generated_files_match_the_table() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    for (path, text) in [("METRICS.md", page()), ("packaging/alerts.yml", alerts())] {
        let path = root.join(path);
        if env::var_os("WARDROOM_BLESS").is_some_and(|bless| bless == "1") {
            fs::write(&path, &text).unwrap();
        }
        let found = fs::read_to_string(&path).unwrap_or_default();
        assert!(found == text, "{} is not what the table says; WARDROOM_BLESS=1 writes it", path.display());
    }
}
