//! Tests of the SQLite store's writer: batches, lists that were passed to `note`, and a database that another process
//! locks.

use std::{path::Path, sync::Arc};

use futures_util::future::join_all;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use wardroom::store::{EntryKind, Store, StoreError, Write};
use wardroom_sqlite::SqliteStore;

use crate::{
    helpers::verified,
    rows::{entry, message, opening, set},
};
async fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(file).await.expect("the store opens")
}

#[tokio::test]
async fn a_note_is_written_without_a_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("wardroom.db")).await;
    store.note(vec![Write::Receive(message(1))]);
    let mut tries = 0;
    while store.unhandled().await.expect("rows").is_empty() {
        tries += 1;
        assert!(tries < 500, "the note was not written in five seconds");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // The counter changes after the rows are visible; an empty commit waits for it.
    store.commit(Vec::new()).await.expect("nothing to write");
    assert_eq!(store.transactions(), 1);
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn concurrent_commits_share_a_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("wardroom.db")).await;
    let answers = join_all((0..200).map(|number| store.commit(vec![Write::Receive(message(number))]))).await;
    for (number, answer) in (0..).zip(answers) {
        assert_eq!(answer.expect("a commit"), [message(number).key]);
    }
    assert_eq!(store.unhandled().await.expect("rows").len(), 200);
    assert!(store.transactions() <= 20, "200 commits took {} transactions", store.transactions());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_invalid_commit_in_a_batch_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&folder.path().join("wardroom.db")).await);
    store.commit(opening("7f")).await.expect("a commit");
    // Every third list is invalid: it opens the job again.
    let answers = join_all((0..60).map(|number| {
        let mut writes = vec![set("deploy", &format!("{number:02}"), b"v")];
        if number % 3 == 0 {
            writes.extend(opening("7f"));
        }
        store.commit(writes)
    }))
    .await;
    for (number, answer) in answers.iter().enumerate() {
        assert_eq!(answer.is_err(), number % 3 == 0, "{number}: {answer:?}");
    }
    let values = store.values("deploy", "", 100).await.expect("values");
    assert!(values.iter().all(|(key, _)| key.parse::<u32>().is_ok_and(|number| number % 3 != 0)), "{values:?}");
    assert_eq!(values.len(), 40);
    store.close().await;
}

#[tokio::test]
async fn a_busy_database_is_unavailable_until_it_is_free() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    let mut backup = SqliteConnectOptions::new().filename(&file).connect().await.expect("connects");
    sqlx::query("begin immediate").execute(&mut backup).await.expect("takes the lock");
    store.note(vec![set("deploy", "noted", b"v")]);
    let refused = store.commit(vec![set("deploy", "k", b"v")]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    assert_eq!(store.values("deploy", "", 9).await.expect("values"), []);
    sqlx::query("rollback").execute(&mut backup).await.expect("lets go");
    store.commit(vec![set("deploy", "k", b"v")]).await.expect("it works again");
    let values = store.values("deploy", "", 9).await.expect("values");
    assert_eq!(values.len(), 2, "the note was retried: {values:?}");
    store.close().await;
}

#[tokio::test]
async fn a_commit_behind_an_unwritten_note_can_be_retried() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.commit(opening("7f")).await.expect("a commit");
    let next = |number| Write::Append(entry("7f", number, EntryKind::Call));
    let mut backup = SqliteConnectOptions::new().filename(&file).connect().await.expect("connects");
    sqlx::query("begin immediate").execute(&mut backup).await.expect("takes the lock");
    store.note(vec![next(1)]);
    let refused = store.commit(vec![next(2)]).await;
    assert!(matches!(refused, Err(StoreError::Unavailable(_))), "{refused:?}");
    sqlx::query("rollback").execute(&mut backup).await.expect("lets go");
    store.commit(vec![next(2)]).await.expect("the note came first");
    assert_eq!(verified(&store).await.entries, 3);
    store.close().await;
}
