//! What the SQLite store does beyond the trait, in one process.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command, sync::Arc};

use futures_util::future::join_all;
use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use wardroom::port::{
    Outcome, Store, StoreError,
    store::{EntryKind, ReleaseQuery, Write},
};
use wardroom_sqlite::{OpenError, SqliteStore};

use crate::{
    checks::{open_jobs, verified},
    rows::{card, entry, job, line, mark, message, opening, pending, release, sent, set, take},
};

async fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(file).await.expect("the store opens")
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("it is there").permissions().mode() & 0o777
}

/// What everything in a store looks like from outside.
async fn everything(store: &SqliteStore) -> String {
    format!(
        "{:?}",
        (
            store.waiting().await.expect("waiting"),
            store.mark("marvin", "matrix", "!ops").await.expect("mark"),
            store.outbox().await.expect("outbox"),
            open_jobs(store).await,
            store.entries("7f").await.expect("entries"),
            store.releases(&ReleaseQuery::default()).await.expect("releases"),
            store.values("deploy", "", 9).await.expect("values"),
            store.usage().await.expect("usage"),
        )
    )
}

fn some_of_everything() -> Vec<Write> {
    vec![
        Write::Receive(message(1)),
        Write::Mark(mark(1, Some("$event1"))),
        Write::Say(card("7f/card", "queued", false)),
        sent("7f/card", 1, Some("$card")),
        Write::Say(card("7f/card", "running", false)),
        Write::Open(job("7f")),
        Write::Enter(entry("7f", 0, EntryKind::Intent)),
        take("cms", "staging", "7f"),
        Write::Line(line(Some("deploy"), &[("log.info", 2, 1)])),
        Write::Release(release("7f-1", "cms", "staging", 3, Outcome::Succeeded)),
        set("deploy", "k", b"v"),
    ]
}

#[tokio::test]
async fn reopening_keeps_everything() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state/deep/wardroom.db");
    let store = open(&file).await;
    store.commit(some_of_everything()).await.expect("a commit");
    let before = everything(&store).await;
    store.close().await;
    let store = open(&file).await;
    assert_eq!(everything(&store).await, before);
    let row = pending(card("7f/card", "running", false), Some("$card"), 2);
    assert_eq!(store.outbox().await.expect("rows"), [row]);
    store.close().await;
}

#[tokio::test]
async fn closing_writes_what_was_noted_and_ends_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.note(some_of_everything());
    store.close().await;
    store.close().await;
    let refused = store.commit(vec![set("deploy", "late", b"v")]).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert!(matches!(store.waiting().await, Err(StoreError::Failed(_))));
    store.note(vec![set("deploy", "late", b"v")]);
    let store = open(&file).await;
    assert_eq!(store.waiting().await.expect("rows"), [message(1)]);
    assert_eq!(store.value("deploy", "late").await.expect("a value"), None);
    store.close().await;
}

#[tokio::test]
async fn dropping_writes_what_was_noted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.note(some_of_everything());
    drop(store);
    let store = open(&file).await;
    assert_eq!(store.waiting().await.expect("rows"), [message(1)]);
    store.close().await;
}

#[tokio::test]
async fn a_note_is_written_without_a_commit() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("wardroom.db")).await;
    store.note(vec![Write::Receive(message(1))]);
    let mut tries = 0;
    while store.waiting().await.expect("rows").is_empty() {
        tries += 1;
        assert!(tries < 500, "the note was not written in five seconds");
        tokio::time::sleep(std::time::Duration::from_millis(10)).await;
    }
    // It is counted after it can be seen; the writer is free when it answers this.
    store.commit(Vec::new()).await.expect("nothing to write");
    assert_eq!(store.transactions(), 1);
    store.close().await;
}

#[tokio::test]
async fn a_second_host_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    for second in [file.clone(), folder.path().join("other.db")] {
        let error = SqliteStore::open(&second).await.expect_err("the folder is taken");
        assert!(matches!(&error, OpenError::InUse { folder: named } if named == folder.path()), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }
    store.commit(vec![set("deploy", "k", b"v")]).await.expect("the first goes on");
    store.close().await;
    open(&file).await.close().await;
}

#[tokio::test]
async fn a_child_does_not_inherit_the_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    let mut child = Command::new("sleep").arg("60").spawn().expect("a child");
    store.close().await;
    let reopened = SqliteStore::open(&file).await;
    child.kill().expect("the child was alive all the time");
    child.wait().expect("the child ends");
    reopened.expect("the folder is free").close().await;
}

#[tokio::test]
async fn only_this_user_can_read_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state");
    let store = open(&state.join("wardroom.db")).await;
    store.commit(some_of_everything()).await.expect("a commit");
    assert_eq!(mode(&state), 0o700);
    for name in ["wardroom.db", "wardroom.db-wal", "wardroom.db-shm", "lock"] {
        assert_eq!(mode(&state.join(name)), 0o600, "{name}");
    }
    store.close().await;
}

#[tokio::test]
async fn looking_on_takes_no_lock_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let missing = SqliteStore::open_read_only(&file).await.expect_err("there is nothing");
    assert!(matches!(&missing, OpenError::Missing { file: named } if *named == file), "{missing}");
    assert!(!file.exists(), "looking makes no file");

    let host = open(&file).await;
    host.commit(some_of_everything()).await.expect("a commit");
    let looker = SqliteStore::open_read_only(&file).await.expect("opens beside the host");
    assert_eq!(everything(&looker).await, everything(&host).await);
    let refused = looker.commit(vec![set("deploy", "k", b"changed")]).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    looker.note(vec![set("deploy", "k", b"changed")]);
    host.commit(vec![set("deploy", "k", b"newer")]).await.expect("the host goes on");
    assert_eq!(looker.value("deploy", "k").await.expect("a value"), Some(b"newer".to_vec()));
    host.close().await;
    looker.close().await;

    let looker = SqliteStore::open_read_only(&file).await.expect("opens without a host");
    assert_eq!(looker.waiting().await.expect("rows"), [message(1)]);
    open(&file).await.close().await;
    looker.close().await;
}

#[tokio::test]
async fn a_database_of_another_version_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    open(&file).await.close().await;
    let change = async |statement: &'static str| {
        let mut connection = SqliteConnectOptions::new().filename(&file).connect().await.expect("connects");
        sqlx::query(statement).execute(&mut connection).await.expect("changes");
        sqlx::Connection::close(connection).await.expect("closes");
    };
    change(
        "insert into _sqlx_migrations select 9999, 'later', installed_on, success, checksum, 0 from _sqlx_migrations limit 1",
    )
    .await;
    for error in [
        SqliteStore::open(&file).await.expect_err("it is newer"),
        SqliteStore::open_read_only(&file).await.expect_err("it is newer"),
    ] {
        assert!(matches!(error, OpenError::Newer { found: 9999, .. }), "{error}");
        assert!(error.to_string().contains("use the newer build"), "{error}");
    }
    change("delete from _sqlx_migrations").await;
    let error = SqliteStore::open_read_only(&file).await.expect_err("it is older");
    assert!(matches!(error, OpenError::Older { found: 0, .. }), "{error}");
}

#[tokio::test]
async fn what_is_no_database_is_refused_and_left_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let text = "these are my notes, and they are longer than the header of a database would be. ".repeat(20);
    std::fs::write(&file, &text).expect("writes");
    for error in [
        SqliteStore::open(&file).await.expect_err("no database"),
        SqliteStore::open_read_only(&file).await.expect_err("no database"),
    ] {
        assert!(matches!(&error, OpenError::Database { .. }), "{error}");
        assert!(error.to_string().contains("not a database"), "{error}");
    }
    assert_eq!(std::fs::read_to_string(&file).expect("reads"), text);
    let error = SqliteStore::open(&file.join("below/wardroom.db")).await.expect_err("a file is no folder");
    assert!(matches!(error, OpenError::Folder { .. }), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn commits_at_the_same_time_share_a_transaction() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = open(&folder.path().join("wardroom.db")).await;
    let answers = join_all((0..200).map(|number| store.commit(vec![Write::Receive(message(number))]))).await;
    for (number, answer) in (0..).zip(answers) {
        assert_eq!(answer.expect("a commit"), [message(number).key]);
    }
    assert_eq!(store.waiting().await.expect("rows").len(), 200);
    assert!(store.transactions() <= 20, "200 commits took {} transactions", store.transactions());
    store.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_commit_in_a_group_fails_alone() {
    let folder = tempfile::tempdir().expect("a folder");
    let store = Arc::new(open(&folder.path().join("wardroom.db")).await);
    store.commit(opening("7f")).await.expect("a commit");
    // Every third one opens the job again after it has set a value.
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
async fn a_busy_database_is_unavailable_for_a_while() {
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
    assert_eq!(values.len(), 2, "the note was tried again: {values:?}");
    store.close().await;
}

#[tokio::test]
async fn what_waits_for_a_note_that_could_not_be_written_may_work_later() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.commit(opening("7f")).await.expect("a commit");
    let next = |number| Write::Enter(entry("7f", number, EntryKind::Call));
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
