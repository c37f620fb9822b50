//! Checks of the plugins' keys and of the usage of host calls.

use wardroom::store::{CallCount, EntryKind, Store, Write};

use crate::{
    helpers::commit,
    rows::{entry, job, line, set},
};

pub(crate) async fn a_plugin_has_its_own_values(store: &dyn Store) {
    let bytes: Vec<u8> = (0..=255).collect();
    commit(store, vec![set("reaper", "k", b"theirs"), set("deploy", "k", b"old"), set("deploy", "k", &bytes)]).await;
    commit(
        store,
        vec![set("deploy", "empty", b""), Write::DeleteValue { plugin: "deploy".into(), key: "nobody".into() }],
    )
    .await;
    assert_eq!(store.value("deploy", "k").await.expect("a value"), Some(bytes));
    assert_eq!(store.value("deploy", "empty").await.expect("a value"), Some(Vec::new()));
    assert_eq!(store.value("coffee", "k").await.expect("a value"), None);
    assert_eq!(store.values_size("deploy").await.expect("a size"), (2, 1 + 256 + 5));
    assert_eq!(store.values_size("coffee").await.expect("a size"), (0, 0));
    commit(store, vec![Write::DeleteValue { plugin: "deploy".into(), key: "k".into() }]).await;
    assert_eq!(store.value("deploy", "k").await.expect("a value"), None);
    assert_eq!(store.value("reaper", "k").await.expect("a value"), Some(b"theirs".to_vec()));
}

pub(crate) async fn values_are_listed_by_the_bytes_of_a_prefix(store: &dyn Store) {
    // Sorted by bytes. They include the texts around the surrogates and the last character.
    let keys =
        ["A", "a", "a%", "a%b", "a_", "a_b", "aa", "ab", "a\u{d7ff}", "a\u{e000}", "b", "\u{10ffff}", "\u{10ffff}x"];
    commit(store, keys.iter().rev().map(|key| set("deploy", key, key.as_bytes())).collect()).await;
    let bytes: usize = keys.iter().map(|key| 2 * key.len()).sum();
    assert_eq!(store.values_size("deploy").await.expect("a size"), (keys.len() as u64, bytes as u64));
    commit(store, vec![set("other", "a", b"theirs")]).await;
    for (prefix, limit, found) in [
        ("", 100, &keys[..]),
        ("", 2, &keys[..2]),
        ("a", 100, &keys[1..10]),
        ("a", 3, &keys[1..4]),
        ("a%", 100, &keys[2..4]),
        ("a_", 100, &keys[4..6]),
        ("a\u{d7ff}", 100, &keys[8..9]),
        ("\u{10ffff}", 100, &keys[11..]),
        ("c", 100, &[]),
        ("a", 0, &[]),
    ] {
        let values = store.values("deploy", prefix, limit).await.expect("values");
        let names: Vec<&str> = values.iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(names, found, "prefix {prefix:?}");
        assert!(values.iter().all(|(key, value)| key.as_bytes() == value), "prefix {prefix:?}");
    }
}

pub(crate) async fn usage_counts_jobs_and_queries(store: &dyn Store) {
    let mut entries = vec![
        entry("7f", 0, EntryKind::Invocation),
        entry("7f", 1, EntryKind::Intent),
        entry("7f", 2, EntryKind::Result),
        entry("7f", 3, EntryKind::Denied),
        entry("7f", 4, EntryKind::Call),
        entry("7f", 5, EntryKind::Wait),
        entry("7f", 6, EntryKind::Result),
        entry("7f", 7, EntryKind::End),
    ];
    entries[4].call = "catalog.releases".into();
    entries[5].call = "pipelines.wait".into();
    entries[6].call = "pipelines.wait".into();
    commit(store, [Write::Open(job("7f"))].into_iter().chain(entries.into_iter().map(Write::Append)).collect()).await;
    let lines = [
        line(Some("deploy"), &[("catalog.releases", 3, 0), ("pipelines.trigger", 0, 2)]),
        line(Some("coffee"), &[("pipelines.trigger", 0, 1)]),
        line(Some("deploy"), &[("catalog.releases", 1, 0)]),
        line(None, &[]),
    ];
    commit(store, lines.map(Write::AuditRecord).to_vec()).await;
    let usage = |plugin: &str, call: &str, allowed, refused| {
        (plugin.to_owned(), CallCount { call: call.to_owned(), allowed, refused })
    };
    let expected = [
        usage("coffee", "pipelines.trigger", 0, 1),
        usage("deploy", "catalog.releases", 5, 0),
        usage("deploy", "pipelines.trigger", 1, 3),
        usage("deploy", "pipelines.wait", 1, 0),
    ];
    assert_eq!(store.usage().await.expect("usage"), expected);
}
