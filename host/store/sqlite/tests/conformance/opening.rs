//! Tests of opening, closing and locking a database.

use std::{os::unix::fs::PermissionsExt, path::Path, process::Command};

use sqlx::{ConnectOptions, sqlite::SqliteConnectOptions};
use wardroom::{
    model::Outcome,
    store::{EntryKind, ReleaseQuery, Store, StoreError, Write},
};
use wardroom_sqlite::{OpenError, SqliteStore};

use crate::{
    helpers::open_jobs,
    rows::{card, cursor, entry, job, line, message, pending, release, sent, set, take},
};
async fn open(file: &Path) -> SqliteStore {
    SqliteStore::open(file).await.expect("the store opens")
}

fn mode(path: &Path) -> u32 {
    path.metadata().expect("the file exists").permissions().mode() & 0o777
}

/// Returns the whole content of a store as text, for comparisons.
async fn everything(store: &SqliteStore) -> String {
    format!(
        "{:?}",
        (
            store.unhandled().await.expect("waiting"),
            store.cursor("marvin", "matrix", "!ops").await.expect("mark"),
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
        Write::SetCursor(cursor(1, Some("$event1"))),
        Write::Send(card("7f/card", "queued", false)),
        sent("7f/card", 1, Some("$card")),
        Write::Send(card("7f/card", "running", false)),
        Write::Open(job("7f")),
        Write::Append(entry("7f", 0, EntryKind::Intent)),
        take("cms", "staging", "7f"),
        Write::AuditRecord(line(Some("deploy"), &[("log.info", 2, 1)])),
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
async fn closing_writes_notes_and_rejects_later_calls() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.note(some_of_everything());
    store.close().await;
    store.close().await;
    let refused = store.commit(vec![set("deploy", "late", b"v")]).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    assert!(matches!(store.unhandled().await, Err(StoreError::Failed(_))));
    store.note(vec![set("deploy", "late", b"v")]);
    let store = open(&file).await;
    assert_eq!(store.unhandled().await.expect("rows"), [message(1)]);
    assert_eq!(store.value("deploy", "late").await.expect("a value"), None);
    store.close().await;
}

#[tokio::test]
async fn dropping_writes_notes() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    store.note(some_of_everything());
    drop(store);
    let store = open(&file).await;
    assert_eq!(store.unhandled().await.expect("rows"), [message(1)]);
    store.close().await;
}

#[tokio::test]
async fn a_second_host_on_the_folder_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let store = open(&file).await;
    for second in [file.clone(), folder.path().join("other.db")] {
        let error = SqliteStore::open(&second).await.expect_err("the folder is locked");
        assert!(matches!(&error, OpenError::InUse { folder: named } if named == folder.path()), "{error}");
        assert!(error.to_string().contains(&folder.path().display().to_string()), "{error}");
    }
    store.commit(vec![set("deploy", "k", b"v")]).await.expect("the first host still writes");
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
    child.kill().expect("the child still runs");
    child.wait().expect("the child ends");
    reopened.expect("the folder is free").close().await;
}

#[tokio::test]
async fn files_are_readable_by_their_user_alone() {
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

/// Returns an error with its cause.
fn reason(error: OpenError) -> String {
    let cause = std::error::Error::source(&error).map(ToString::to_string).unwrap_or_default();
    format!("{error}: {cause}")
}

#[tokio::test]
async fn a_folder_that_everybody_can_write_to_is_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o777)).expect("a mode");
    let refused = reason(SqliteStore::open(&file).await.expect_err("everybody could replace the database"));
    assert!(refused.contains("everybody can write to the folder (mode 0777); run `chmod o-w "), "{refused}");
    std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o775)).expect("a mode");
    open(&file).await.close().await;
}

#[tokio::test]
async fn a_symbolic_link_in_the_folder_is_refused() {
    for name in ["wardroom.db", "lock"] {
        let folder = tempfile::tempdir().expect("a folder");
        let target = folder.path().join("elsewhere");
        std::fs::write(&target, "precious").expect("a file");
        std::os::unix::fs::symlink(&target, folder.path().join(name)).expect("a link");
        let refused = reason(SqliteStore::open(&folder.path().join("wardroom.db")).await.expect_err("a link"));
        assert!(refused.contains(name) && refused.contains("it is a symbolic link"), "{refused}");
        assert_eq!(std::fs::read(&target).expect("the file"), b"precious");
    }
}

#[tokio::test]
async fn a_read_only_store_takes_no_lock_and_changes_nothing() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let missing = SqliteStore::open_read_only(&file).await.expect_err("there is no database");
    assert!(matches!(&missing, OpenError::Missing { file: named } if *named == file), "{missing}");
    assert!(!file.exists(), "a read-only open creates no file");

    let host = open(&file).await;
    host.commit(some_of_everything()).await.expect("a commit");
    let reader = SqliteStore::open_read_only(&file).await.expect("opens beside the host");
    assert_eq!(everything(&reader).await, everything(&host).await);
    let refused = reader.commit(vec![set("deploy", "k", b"changed")]).await;
    assert!(matches!(refused, Err(StoreError::Failed(_))), "{refused:?}");
    reader.note(vec![set("deploy", "k", b"changed")]);
    host.commit(vec![set("deploy", "k", b"newer")]).await.expect("the host still writes");
    assert_eq!(reader.value("deploy", "k").await.expect("a value"), Some(b"newer".to_vec()));
    host.close().await;
    reader.close().await;

    let reader = SqliteStore::open_read_only(&file).await.expect("opens without a host");
    assert_eq!(reader.unhandled().await.expect("rows"), [message(1)]);
    open(&file).await.close().await;
    reader.close().await;
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
async fn a_file_that_is_no_database_is_refused_and_kept() {
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
