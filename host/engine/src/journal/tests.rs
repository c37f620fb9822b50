//! Tests of hashes, verification and display, with the in-memory store.
//!
//! Not here: a database file that was tampered with (tests of the SQLite store).

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::*;
use crate::{
    Timestamp,
    model::Person,
    store::{
        AuditRecord, Entry, EntryKind, HashedEntry, InboxKey, JobEnd, JobOutcome, JobPhase, JobRow, JobStatus, Link,
        LinkKind, MemoryStore, Store, StoreError, Write,
    },
};

fn at(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(1_780_315_200_000 + millis).unwrap()
}

fn job() -> JobRow {
    JobRow {
        id: "7f3a".into(),
        inbox: InboxKey { network: "console".into(), room: "console".into(), event: "1".into() },
        thread: None,
        bot: "marvin".into(),
        caller: Person { id: "@bob:example.org".into(), name: "Bob".into() },
        plugin: "deploy".into(),
        digest: "sha256:00".into(),
        command: "deploy".into(),
        app: Some("cms".into()),
        environment: Some("staging".into()),
        line: "deploy cms staging 1.0.2".into(),
        parent: None,
        overrides: None,
        opened: at(0),
        status: JobStatus {
            phase: JobPhase::Run,
            about: "cms/staging is running".into(),
            since: at(1391),
            wake: Some(at(9000)),
        },
        end: None,
    }
}

fn entry(number: u32, kind: EntryKind, body: Value) -> Entry {
    Entry {
        job: "7f3a".into(),
        number,
        kind,
        plugin: "deploy".into(),
        call: String::new(),
        of: None,
        rule: String::new(),
        attributes: BTreeMap::new(),
        body,
        blob: None,
        at: at(i64::from(number) * 1000),
    }
}

fn sealed(entries: Vec<Entry>) -> Vec<HashedEntry> {
    let mut before = String::new();
    let seal = |entry: Entry| {
        before = entry.hash(&before);
        HashedEntry { entry, hash: before.clone() }
    };
    entries.into_iter().map(seal).collect()
}

fn head(entries: &[HashedEntry]) -> (u32, String) {
    (u32::try_from(entries.len()).unwrap(), entries.last().unwrap().hash.clone())
}

fn six() -> Vec<HashedEntry> {
    sealed((0..6).map(|number| entry(number, EntryKind::Call, json!({ "answer": { "Ok": number } }))).collect())
}

#[test]
fn a_hash_covers_every_field_and_the_previous_hash() {
    let whole = entry(3, EntryKind::Call, json!({ "a": 1 }));
    let changes: [fn(&mut Entry); 11] = [
        |entry| entry.job = "7f3b".into(),
        |entry| entry.number = 4,
        |entry| entry.kind = EntryKind::Intent,
        |entry| entry.plugin = "coffee".into(),
        |entry| entry.call = "log.info".into(),
        |entry| entry.of = Some(0),
        |entry| entry.rule = "x".into(),
        |entry| drop(entry.attributes.insert("app".into(), vec!["cms".into()])),
        |entry| entry.body = json!({ "a": "1" }),
        |entry| entry.blob = Some("sha256:00".into()),
        |entry| entry.at = at(1),
    ];
    let hash = whole.hash("before");
    assert_eq!(hash.len(), 64);
    assert_eq!(hash, whole.clone().hash("before"));
    assert_ne!(hash, whole.hash(""));
    for (number, change) in changes.into_iter().enumerate() {
        let mut changed = whole.clone();
        change(&mut changed);
        assert_ne!(hash, changed.hash("before"), "change {number}");
    }
}

#[test]
fn a_link_hash_covers_every_field_except_itself() {
    let link = Link {
        number: 1,
        kind: LinkKind::Open,
        subject: "7f3a".into(),
        digest: "00".into(),
        at: at(0),
        hash: String::new(),
    };
    let hash = link.hash_after("");
    assert_eq!(hash, Link { hash: "anything".into(), ..link.clone() }.hash_after(""));
    for changed in [
        Link { number: 2, ..link.clone() },
        Link { kind: LinkKind::Close, ..link.clone() },
        Link { subject: "7f3b".into(), ..link.clone() },
        Link { digest: "01".into(), ..link.clone() },
        Link { at: at(1), ..link.clone() },
    ] {
        assert_ne!(hash, changed.hash_after(""), "{changed:?}");
    }
    assert_ne!(hash, link.hash_after("x"));
}

#[test]
fn the_order_of_audit_records_changes_their_digest() {
    let line = |command: &str| AuditRecord {
        inbox: job().inbox,
        caller: job().caller,
        plugin: None,
        command: command.into(),
        at: at(0),
        calls: Vec::new(),
        denials: Vec::new(),
        refused: false,
    };
    let (one, other) = (line("where cms"), line("where shop"));
    let digests = [vec![&one], vec![&other], vec![&one, &other], vec![&other, &one], vec![&one, &one]];
    let digests = digests.map(AuditRecord::group_digest);
    assert_eq!(digests.iter().collect::<BTreeSet<_>>().len(), digests.len(), "{digests:?}");
}

#[test]
fn intact_entries_verify() {
    let entries = six();
    assert_eq!(check_entries("7f3a", &entries, &head(&entries), None), Ok(()));
    let fault = check_entries("0b", &entries, &head(&entries), None).unwrap_err();
    assert_eq!(fault.message, "journal entry 0 of job 0b was changed");
}

#[test]
fn the_first_fault_is_reported() {
    let entries = six();
    let swapped = |one: usize, other: usize, with_hash: bool| {
        let mut found = entries.clone();
        found.swap(one, other);
        for (number, sealed) in (0..).zip(&mut found) {
            sealed.entry.number = number;
            if !with_hash {
                sealed.hash.clone_from(&entries[number as usize].hash);
            }
        }
        found
    };
    let without = |number: usize| {
        let mut found = entries.clone();
        found.remove(number);
        found
    };
    let mut changed = entries.clone();
    changed[4].entry.rule = "x".into();
    let mut renumbered = without(4);
    renumbered[4].entry.number = 4;
    for (found, message) in [
        (changed, "journal entry 4 of job 7f3a was changed"),
        (without(0), "journal entry 0 of job 7f3a is missing"),
        (without(4), "journal entry 4 of job 7f3a is missing"),
        (without(5), "journal entry 5 of job 7f3a is missing"),
        (Vec::new(), "journal entry 0 of job 7f3a is missing"),
        (swapped(4, 5, true), "journal entry 5 of job 7f3a was moved: the entry belongs at number 4"),
        (swapped(4, 5, false), "journal entry 5 of job 7f3a was moved: the entry belongs at number 4"),
        (swapped(0, 3, true), "journal entry 3 of job 7f3a was moved: the entry belongs at number 0"),
        (renumbered, "journal entry 4 of job 7f3a was changed"),
    ] {
        let fault = check_entries("7f3a", &found, &head(&entries), None).unwrap_err();
        assert_eq!((fault.message.as_str(), fault.job.as_deref()), (message, Some("7f3a")));
    }
    let fault = check_entries("7f3a", &entries, &(5, entries[4].hash.clone()), None).unwrap_err();
    assert_eq!(fault.message, "journal entry 5 of job 7f3a was added without being recorded");
    let fault = check_entries("7f3a", &entries, &(6, entries[4].hash.clone()), None).unwrap_err();
    assert_eq!(fault.message, "journal entry 5 of job 7f3a was changed");
    let fault = check_entries("7f3a", &[], &(0, String::new()), None).unwrap_err();
    assert_eq!(fault.message, "journal entry 0 of job 7f3a is missing");
}

#[tokio::test]
async fn a_large_body_is_stored_as_a_blob() {
    let store = MemoryStore::new();
    let body = json!({ "arguments": "x".repeat(20_000) });
    let mut small = entry(0, EntryKind::Call, json!({ "arguments": 1 }));
    assert_eq!(small.pack(), None);
    assert_eq!(small.unpack(&store).await.unwrap(), json!({ "arguments": 1 }));
    let mut large = entry(0, EntryKind::Call, body.clone());
    let keep = large.pack().unwrap();
    assert!(large.body.to_string().len() < 100, "{}", large.body);
    let missing = large.unpack(&store).await.unwrap_err();
    assert!(matches!(&missing, StoreError::Failed(reason) if reason.ends_with("is missing")), "{missing}");
    store.commit(vec![keep]).await.unwrap();
    assert_eq!(large.unpack(&store).await.unwrap(), body);
    let mut other = large.clone();
    other.blob = Some("sha256:00".into());
    store.commit(vec![Write::StoreBlob { digest: "sha256:00".into(), bytes: b"{}".to_vec() }]).await.unwrap();
    let changed = other.unpack(&store).await.unwrap_err();
    assert!(matches!(&changed, StoreError::Failed(reason) if reason.ends_with("was changed")), "{changed}");
}

/// A complete journal that contains untrusted text.
fn life() -> Vec<HashedEntry> {
    let asked = json!({
        "job": "7f3a", "command": "deploy", "caller": { "id": "@bob:example.org", "name": "Bob" },
        "arguments": [{ "name": "app", "value": { "Text": "cms" } }, { "name": "version", "value": { "Text": "1.0.2" } }],
    });
    let call = |number, kind, body, attributes: &[(&str, &str)]| Entry {
        call: "pipelines.trigger".into(),
        rule: "plugin.deploy line 61, role deployer".into(),
        attributes: attributes.iter().map(|(name, value)| ((*name).to_owned(), vec![(*value).to_owned()])).collect(),
        ..entry(number, kind, body)
    };
    let target = [("pipeline", "cms/staging"), ("version", "1.0.2")];
    let mut wait = call(
        4,
        EntryKind::Wait,
        json!({ "arguments": [], "timers": { "7f3a-t1": { "at": "2026-06-01T13:00:00Z" } } }),
        &[],
    );
    wait.call = "pipelines.wait".into();
    let denied =
        json!({ "arguments": {}, "answer": { "Err": { "Denied": { "reason": "grant", "message": "no rule" } } } });
    let mut denied = call(5, EntryKind::Denied, denied, &[("pipeline", "shop/staging")]);
    denied.rule = "no rule allows it".into();
    let other = json!({ "answer": { "Err": { "Other": { "code": "busy", "message": "a\n\u{202e}b" } } } });
    sealed(vec![
        entry(0, EntryKind::Invocation, json!({ "invocation": asked, "line": "deploy cms staging 1.0.2" })),
        Entry {
            call: "catalog.releases".into(),
            body: json!({ "bytes": 20_031 }),
            blob: Some("sha256:00".into()),
            ..entry(1, EntryKind::Call, Value::Null)
        },
        call(2, EntryKind::Intent, json!({ "arguments": {} }), &target),
        Entry { of: Some(2), at: at(2171), ..entry(3, EntryKind::Result, json!({ "answer": { "Ok": "7f3a-2" } })) },
        wait,
        denied,
        Entry {
            of: Some(4),
            ..entry(6, EntryKind::Result, json!({ "answer": { "Ok": { "id": "7f3a-2" } }, "settled": "ok" }))
        },
        Entry { of: Some(4), ..entry(7, EntryKind::Result, other) },
        Entry {
            at: at(86_400_000),
            ..entry(8, EntryKind::Event, json!({ "event": "cancel", "by": "@eve:x", "about": "" }))
        },
        Entry { at: at(86_400_001), ..entry(9, EntryKind::End, json!({ "end": "reply", "text": "x".repeat(999) })) },
        Entry { at: at(86_400_002), ..entry(10, EntryKind::Closed, json!({ "strange": [1, null] })) },
    ])
}

fn show(job: JobRow, entries: Vec<HashedEntry>) -> String {
    JobJournal { job, entries, head: (0, String::new()) }.to_string().trim_end().to_owned()
}

#[test]
fn a_journal_is_shown_with_one_line_per_entry() {
    let long = format!("   9  00:00:00.001  plugin ended: reply: {}", "x".repeat(999));
    let expected = [
        "job 7f3a: deploy cms staging 1.0.2",
        "started by Bob (@bob:example.org) at 2026-06-01 12:00:00 UTC, plugin deploy sha256:00",
        "   0  2026-06-01 12:00:00.000  invocation deploy {app: cms, version: 1.0.2} by @bob:example.org",
        "   1  12:00:01.000  catalog.releases: 20031 bytes, stored as a blob",
        "   2  12:00:02.000  pipelines.trigger {pipeline: cms/staging, version: 1.0.2} allowed by plugin.deploy line 61, \
         role deployer: intent, key 7f3a-2",
        "   3  12:00:02.171  result of 2: 7f3a-2",
        "   4  12:00:04.000  pipelines.wait allowed by plugin.deploy line 61, role deployer: waiting until \
         2026-06-01T13:00:00Z",
        "   5  12:00:05.000  pipelines.trigger {pipeline: shop/staging} denied: no rule allows it: failed, denied: no rule",
        "   6  12:00:06.000  result of 4: {id: 7f3a-2}, settled: ok",
        "   7  12:00:07.000  result of 4: failed, other: a b",
        "   8  2026-06-02 12:00:00.000  cancel by @eve:x",
        &long.replace("00:00:00", "12:00:00")[..240],
        "  10  12:00:00.002  closed: {strange: [1, none]}",
        "cms/staging is running, since 2026-06-01 12:00:01 UTC",
    ];
    let shown = show(job(), life());
    for (line, expected) in shown.lines().zip(expected) {
        assert_eq!(line.trim_end_matches(" ..."), expected);
    }
    assert_eq!(shown.lines().count(), expected.len(), "{shown}");
    let end = JobEnd { outcome: JobOutcome::Cancelled, at: at(9000), summary: "never mind".into() };
    let shown = show(JobRow { end: Some(end), parent: Some("0b".into()), ..job() }, Vec::new());
    assert!(shown.ends_with("scheduled by job 0b\nended at 2026-06-01 12:00:09 UTC: cancelled"), "{shown}");
}

#[test]
fn entries_of_unknown_shape_are_shown() {
    let kinds = [
        EntryKind::Invocation,
        EntryKind::Call,
        EntryKind::Intent,
        EntryKind::Wait,
        EntryKind::Result,
        EntryKind::Denied,
        EntryKind::Event,
        EntryKind::End,
        EntryKind::Closed,
    ];
    let bodies = [
        json!(null),
        json!([]),
        json!({}),
        json!("x"),
        json!({ "answer": 3, "invocation": 4, "end": {}, "event": [] }),
    ];
    for body in bodies {
        let entries = kinds.map(|kind| entry(0, kind, body.clone()));
        let shown = show(job(), sealed(entries.to_vec()));
        assert_eq!(shown.lines().count(), kinds.len() + 3, "{body}: {shown}");
    }
}
