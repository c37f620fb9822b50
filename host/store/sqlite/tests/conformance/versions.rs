//! Tests with a database of an older build, and with a database of another computer.

use std::path::Path;

use sqlx::{
    ConnectOptions, Connection, SqlSafeStr,
    migrate::{Migration, MigrationType, Migrator},
    sqlite::SqliteConnectOptions,
};
use wardroom::{
    model::Outcome,
    store::{JobQuery, OutboxKind, ReleaseQuery, Store},
};
use wardroom_sqlite::{MachineClaim, OpenError, SqliteStore};

use crate::{
    helpers::verified,
    rows::{closing, cursor, message, opening, release, set},
};

/// SQL statements that fill a database of schema version 1: a message that is not handled yet, status cards of jobs, a
/// closed job (7f) and an open job (0b).
const FILLED: &str = r#"
    insert into inbox (network, room, event, thread, sender_id, sender_name, text, at)
    values ('matrix', '!ops', '$event1', null, '@bob:example.org', 'bob', 'deploy cms staging 1.0.1',
            '2023-11-14T22:13:21.123456789Z');
    insert into mark values ('matrix', '!ops', '$a', '2023-11-14T22:13:25.123456789Z');
    insert into job (id, network, room, event, thread, bot, caller_id, caller_name, plugin, digest, command, line,
                     opened, outcome, ended, summary) values
        ('7f', 'matrix', '!ops', '$event1', null, 'marvin', '@bob:example.org', 'bob', 'deploy', 'sha256:00', 'deploy',
         'deploy cms staging 1.0.2', '2023-11-14T22:13:20.123456789Z', 'succeeded', '2023-11-14T22:13:21.123456789Z', 'x'),
        ('0b', 'matrix', '!ops', '$event3', '$root', 'marvin', '@bob:example.org', 'bob "the" builder', 'deploy',
         'sha256:00', 'deploy', 'deploy cms staging 1.0.3', '2023-11-14T22:13:20.123456789Z', null, null, null);
    insert into outbox (key, network, room, thread, card, purpose, text, version, sent, event) values
        ('7f/card', 'matrix', '!ops', null, 1, '{"Card":{"rest":true}}', '[{"line":"done"}]', 4, 4, '$card7f'),
        ('0b/card', 'matrix', '!ops', null, 1, '{"Card":{"rest":false}}', '[{"line":"running"}]', 2, 2, '$card0b'),
        ('m', 'matrix', '!ops', null, 0, '"Message"', '[{"line":"unsent"}]', 1, 0, null);
    insert into entry (job, number, kind, plugin, call, of, rule, attributes, body, at) values
        ('7f', 0, 'invocation', 'deploy', '', null, '', '{}', '{}', '2023-11-14T22:13:20.123456789Z'),
        ('0b', 0, 'invocation', 'deploy', '', null, '', '{}', '{}', '2023-11-14T22:13:20.123456789Z'),
        ('0b', 1, 'intent', 'deploy', 'pipelines.trigger', null, '', '{}', '{}', '2023-11-14T22:13:20.123456789Z');
    insert into line (network, room, event, caller_id, caller_name, plugin, command, at, calls, denials)
    values ('matrix', '!ops', '$event2', '@bob:example.org', 'bob', 'deploy', 'where', '2023-11-14T22:13:20.123456789Z',
            '[]', '[]');
    insert into release (run, app, environment, version, person_id, person_name, job, started, ended, outcome)
    values ('7f-1', 'cms', 'staging', '1.0.3', '@bob:example.org', 'bob', '7f3a', '2023-11-14T22:13:22.123456789Z',
            '2023-11-14T22:13:23.123456789Z', 'succeeded');
    insert into value values ('deploy', 'k', x'76');
"#;

async fn version_1(file: &Path) {
    let options = SqliteConnectOptions::new().filename(file).create_if_missing(true);
    let mut connection = options.connect().await.expect("connects");
    let first = include_str!("../../migrations/0001_first.sql").into_sql_str();
    let first = Migration::new(1, "first".into(), MigrationType::Simple, first, false);
    Migrator::with_migrations(vec![first]).run_direct(None, &mut connection, false).await.expect("makes the schema");
    sqlx::raw_sql(FILLED).execute(&mut connection).await.expect("fills it");
    connection.close().await.expect("closes");
}

#[tokio::test]
async fn a_database_of_version_1_is_migrated() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    version_1(&file).await;
    let error = SqliteStore::open_read_only(&file).await.expect_err("it is older");
    assert!(matches!(error, OpenError::Older { found: 1, known: 7, .. }), "{error}");

    let store = SqliteStore::open(&file).await.expect("opens");
    assert_eq!(store.unhandled().await.expect("rows")[0].key, message(1).key);
    assert!(
        store.cursor("", "matrix", "!ops").await.expect("a mark").is_some_and(|found| found.at == cursor(5, None).at)
    );
    assert_eq!(store.value("deploy", "k").await.expect("a value"), Some(b"v".to_vec()));
    let mut kept = release("7f-1", "cms", "staging", 3, Outcome::Succeeded);
    kept.recorded = false;
    assert_eq!(store.releases(&ReleaseQuery::default()).await.expect("releases"), [kept]);
    // Jobs without hashes are removed, and their callers get a message.
    assert_eq!(store.jobs(&JobQuery::default()).await.expect("jobs"), []);
    assert_eq!(store.usage().await.expect("usage"), []);
    let rows = store.outbox().await.expect("rows");
    let messages: Vec<_> = rows.iter().map(|row| (row.row.key.as_str(), row.row.text.plain())).collect();
    let expected = [
        ("0b/card", "[0b] deploy cms staging 1.0.3: unknown, it broke off".to_owned()),
        ("m", "unsent".to_owned()),
        (
            "0b/closing",
            "`deploy cms staging 1.0.3` (job 0b, asked by bob \"the\" builder) was open when this host was brought up to \
             date. It is not gone on with, and how far it came is not known."
                .to_owned(),
        ),
    ];
    assert_eq!(messages, expected);
    assert_eq!((rows[0].version, rows[0].event.as_deref()), (3, Some("$card0b")), "the card is edited");
    assert_eq!((&rows[0].row.purpose, &rows[2].row.purpose), (&OutboxKind::Card { rest: true }, &OutboxKind::Message));
    assert_eq!(rows[2].row.thread.as_deref(), Some("$root"));
    // New jobs work, also with the old ids.
    assert_eq!(verified(&store).await.links, 2, "the message and the release");
    store.commit([opening("7f"), closing("7f", 1)].concat()).await.expect("a commit");
    assert_eq!(verified(&store).await.jobs, 1);
    store.close().await;
    let store = SqliteStore::open(&file).await.expect("opens again");
    assert_eq!(store.outbox().await.expect("rows").len(), 3, "the messages are queued once");
    store.close().await;
}

fn claim(machine: Option<&str>, adopt: bool) -> MachineClaim {
    MachineClaim { machine: machine.map(str::to_owned), adopt }
}

#[tokio::test]
async fn a_database_of_another_machine_is_refused_or_adopted() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let open = async |machine, adopt| SqliteStore::open_as(&file, &claim(machine, adopt)).await;
    let refused = async |machine| {
        let error = open(machine, false).await.expect_err("another machine's database");
        assert!(matches!(&error, OpenError::OtherMachine { file: named, .. } if *named == file), "{error}");
        assert!(error.to_string().contains("`wardroom run --adopt`"), "{error}");
    };
    open(Some("here"), false).await.expect("a new database").close().await;
    refused(Some("there")).await;
    let store = open(Some("here"), false).await.expect("its own database");
    let reader = SqliteStore::open_read_only(&file).await.expect("reading is allowed on any machine");
    store.commit(vec![set("deploy", "k", b"v")]).await.expect("a commit");
    assert!(reader.value("deploy", "k").await.expect("a value").is_some());
    reader.close().await;
    store.close().await;
    // A computer without a machine id neither compares nor changes the lease.
    open(None, false).await.expect("there is no id to compare").close().await;
    refused(Some("there")).await;
    open(Some("there"), true).await.expect("a takeover").close().await;
    refused(Some("here")).await;
    open(Some("there"), false).await.expect("its own database now").close().await;
}

#[tokio::test]
async fn a_refused_open_releases_the_lock() {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    SqliteStore::open_as(&file, &claim(Some("here"), false)).await.expect("a new database").close().await;
    let error =
        SqliteStore::open_as(&file, &claim(Some("there"), false)).await.expect_err("another machine's database");
    let again = SqliteStore::open_as(&file, &claim(Some("here"), false)).await.expect("the folder is free");
    assert!(!error.to_string().contains("1970"), "the message has the time of the last start: {error}");
    again.close().await;
}
