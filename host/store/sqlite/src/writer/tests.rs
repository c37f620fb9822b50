//! The writer on a full disk: lists of writes that fit on the disk are stored, and lists that were passed to `note`
//! keep their order.

use std::collections::BTreeMap;

use sqlx::{ConnectOptions, Row};
use wardroom::{
    model::Person,
    store::{Entry, EntryKind, JobPhase, JobRow, JobStatus},
};

use super::*;
use crate::{MachineClaim, open};

fn set(key: &str, bytes: usize) -> Vec<Write> {
    vec![Write::SetValue { plugin: "deploy".into(), key: key.into(), value: vec![7; bytes] }]
}

#[tokio::test]
async fn a_full_disk_fails_only_lists_that_do_not_fit() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    drop(open::open_writer(&file, &MachineClaim::default()).await.expect("makes the schema"));
    // A limit on pages causes the same error as a full disk.
    let options = open::options(&file).pragma("max_page_count", "130");
    let writer = Writer::start(options.connect().await.expect("connects"), None);

    writer.commit(set("large", 250_000)).await.expect("there is room for one");
    let before = writer.transactions();
    writer.note(set("noted", 250_000));
    // These three share a transaction that is too large; one of them fits alone.
    let (first, second, small) = tokio::join!(
        writer.commit(set("first", 250_000)),
        writer.commit(set("second", 250_000)),
        writer.commit(set("small", 1))
    );
    for refused in [first, second] {
        assert!(matches!(&refused, Err(StoreError::Unavailable(reason)) if reason.contains("full")), "{refused:?}");
    }
    small.expect("the small list fits");
    assert_eq!(writer.transactions(), before + 1);

    writer.commit(vec![Write::DeleteValue { plugin: "deploy".into(), key: "large".into() }]).await.expect("makes room");
    writer.commit(set("last", 1)).await.expect("works again");
    writer.close().await;
    let mut connection = options.connect().await.expect("connects");
    let rows = sqlx::query("select key from value order by key").fetch_all(&mut connection).await.expect("rows");
    let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(keys, ["last", "noted", "small"], "the note was kept until there was room");
}

#[tokio::test]
async fn an_entry_behind_an_unwritten_note_is_unavailable() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    drop(open::open_writer(&file, &MachineClaim::default()).await.expect("makes the schema"));
    let options = open::options(&file).pragma("max_page_count", "130");
    let writer = Writer::start(options.connect().await.expect("connects"), None);
    let entry = |number, bytes| Write::Append(Entry { body: "x".repeat(bytes).into(), ..entry(number) });
    writer.commit(vec![Write::Open(job()), entry(0, 1)]).await.expect("a commit");
    writer.commit(set("large", 250_000)).await.expect("there is room for one");
    writer.note(vec![entry(1, 250_000)]);
    let refused = writer.commit(vec![entry(2, 1)]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(reason)) if reason.contains("out of order")), "{refused:?}");
    writer.commit(vec![Write::DeleteValue { plugin: "deploy".into(), key: "large".into() }]).await.expect("makes room");
    writer.commit(vec![entry(2, 1)]).await.expect("the note was written before it");
    writer.close().await;
}

fn job() -> JobRow {
    let at = Timestamp::UNIX_EPOCH;
    JobRow {
        id: "7f".into(),
        inbox: InboxKey { network: "console".into(), room: "console".into(), event: "1".into() },
        thread: None,
        bot: "marvin".into(),
        caller: Person::named_by_id("operator"),
        plugin: "deploy".into(),
        digest: "sha256:00".into(),
        command: "deploy".into(),
        app: None,
        environment: None,
        line: "deploy".into(),
        parent: None,
        overrides: None,
        opened: at,
        status: JobStatus { phase: JobPhase::Running, about: String::new(), since: at, wake: None },
        end: None,
    }
}

fn entry(number: u32) -> Entry {
    Entry {
        job: "7f".into(),
        number,
        kind: EntryKind::Call,
        plugin: "deploy".into(),
        call: "clock.now".into(),
        of: None,
        rule: String::new(),
        attributes: BTreeMap::new(),
        body: serde_json::Value::Null,
        blob: None,
        at: Timestamp::UNIX_EPOCH,
    }
}
