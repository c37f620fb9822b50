//! The writer where there is no room: what fits is written, what waits keeps its order.

use std::collections::BTreeMap;

use sqlx::Row;
use wardroom::{
    message::Person,
    port::store::{Entry, EntryKind, JobRow, Phase, Stand},
};

use super::*;
use crate::{Claim, open};

fn set(key: &str, bytes: usize) -> Vec<Write> {
    vec![Write::Set { plugin: "deploy".into(), key: key.into(), value: vec![7; bytes] }]
}

#[tokio::test]
async fn a_full_database_takes_what_fits_and_works_again() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    drop(open::writing(&file, &Claim::default()).await.expect("makes the schema"));
    // SQLite's own limit gives the error of a full disk, to any user.
    let options = open::options(&file).pragma("max_page_count", "130");
    let group = Group::start(open::connect(&options).await.expect("connects"), None);

    group.commit(set("large", 250_000)).await.expect("there is room for one");
    let before = group.transactions();
    group.note(set("noted", 250_000));
    // These three share a transaction, which is too large for what is left; one of them is not.
    let (first, second, small) = tokio::join!(
        group.commit(set("first", 250_000)),
        group.commit(set("second", 250_000)),
        group.commit(set("small", 1))
    );
    for refused in [first, second] {
        assert!(matches!(&refused, Err(StoreError::Unavailable(reason)) if reason.contains("full")), "{refused:?}");
    }
    small.expect("what fits is written");
    assert_eq!(group.transactions(), before + 1);

    group.commit(vec![Write::Delete { plugin: "deploy".into(), key: "large".into() }]).await.expect("makes room");
    group.commit(set("last", 1)).await.expect("works again");
    group.close().await;
    let mut connection = open::connect(&options).await.expect("connects");
    let rows = sqlx::query("select key from value order by key").fetch_all(&mut connection).await.expect("rows");
    let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    assert_eq!(keys, ["last", "noted", "small"], "the note was kept until there was room");
}

#[tokio::test]
async fn an_entry_behind_a_note_without_room_waits_for_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    drop(open::writing(&file, &Claim::default()).await.expect("makes the schema"));
    let options = open::options(&file).pragma("max_page_count", "130");
    let group = Group::start(open::connect(&options).await.expect("connects"), None);
    let entry = |number, bytes| Write::Enter(Entry { body: "x".repeat(bytes).into(), ..entry(number) });
    group.commit(vec![Write::Open(job()), entry(0, 1)]).await.expect("a commit");
    group.commit(set("large", 250_000)).await.expect("there is room for one");
    group.note(vec![entry(1, 250_000)]);
    let refused = group.commit(vec![entry(2, 1)]).await;
    assert!(matches!(&refused, Err(StoreError::Unavailable(reason)) if reason.contains("not the next")), "{refused:?}");
    group.commit(vec![Write::Delete { plugin: "deploy".into(), key: "large".into() }]).await.expect("makes room");
    group.commit(vec![entry(2, 1)]).await.expect("the note was written before it");
    group.close().await;
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
        stand: Stand { phase: Phase::Working, about: String::new(), since: at, wake: None },
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
        beside: None,
        at: Timestamp::UNIX_EPOCH,
    }
}
