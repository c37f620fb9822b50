//! Tests of the table, of `METRICS.md` and of the alert rules in `packaging/alerts.yml`.

use std::{
    collections::BTreeSet,
    env, fs,
    path::{Path, PathBuf},
};

use super::{
    metric::MetricKind,
    pages::{LABELS, page},
    *,
};

#[test]
fn every_row_has_valid_and_unique_names() {
    let mut names = BTreeSet::new();
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
    }
    let used: BTreeSet<_> = TABLE.iter().flat_map(|metric| metric.labels).copied().collect();
    assert_eq!(used, BTreeSet::from(LABELS.map(|(label, _)| label)), "a label that no metric uses");
}

#[test]
fn alert_rules_name_existing_metrics_and_labels() {
    let rules = fs::read_to_string(root().join("packaging/alerts.yml")).unwrap();
    let names: BTreeSet<&str> = TABLE.iter().map(|metric| metric.name).collect();
    let metric = regex::Regex::new(r"wardroom_[a-z_]+").unwrap();
    for found in metric.find_iter(&rules).map(|found| found.as_str()) {
        let base = ["_bucket", "_sum", "_count"].iter().find_map(|end| found.strip_suffix(end));
        assert!(names.contains(found) || base.is_some_and(|base| names.contains(base)), "{found}");
    }
    let label = regex::Regex::new(r"\$labels\.([a-z]+)|by \(([a-z, ]+)\)").unwrap();
    let known: BTreeSet<&str> = LABELS.into_iter().map(|(label, _)| label).chain(["le"]).collect();
    let mut seen = 0;
    for found in label.captures_iter(&rules).filter_map(|found| found.get(1).or(found.get(2))) {
        for label in found.as_str().split(", ") {
            assert!(known.contains(label), "{label}");
            seen += 1;
        }
    }
    assert!(seen > 10, "{seen} labels");
}

/// If the environment variable `WARDROOM_BLESS` is `1`, first writes `METRICS.md` from the table.
#[test]
fn the_page_matches_the_table() {
    let path = root().join("METRICS.md");
    if env::var_os("WARDROOM_BLESS").is_some_and(|bless| bless == "1") {
        fs::write(&path, page()).unwrap();
    }
    let found = fs::read_to_string(&path).unwrap_or_default();
    assert!(found == page(), "METRICS.md differs from the table; WARDROOM_BLESS=1 writes it");
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}
