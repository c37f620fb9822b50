//! Tests that hide forged rows from the verification of the journal, or change the schema of the database. The
//! verification names each change, and a host does not open a database whose schema was changed.

use wardroom::{
    model::Person,
    store::{Grant, Store, Write},
};
use wardroom_sqlite::{OpenError, SqliteStore};

use crate::{
    rows::{at, message},
    tamper::{TamperTest, change},
};

/// SQL statements that store a second row with the id of the grant, between statements that remove the unique index of
/// the table and statements that restore it.
const SECOND_GRANT: &str = "
    pragma writable_schema = on;
    create temp table saved as select * from sqlite_schema where tbl_name = 'granted';
    delete from sqlite_schema where name = 'sqlite_autoindex_granted_1';
    update sqlite_schema set sql = replace(sql, 'not null unique', 'not null') where name = 'granted';
    pragma writable_schema = reset;
    insert into granted (id, person_id, person_name, role, app, by_id, by_name, bot, at)
    select id, '@eve:example.org', 'eve', 'admin', app, by_id, by_name, bot, at from granted;
    pragma writable_schema = on;
    update sqlite_schema set sql = (select sql from saved where name = 'granted') where name = 'granted';
    insert into sqlite_schema select * from saved where type = 'index';
    pragma writable_schema = reset;";

/// SQL statements that fill the index of the waiting messages with the handled messages.
const HANDLED_AS_WAITING: &str = "
    update inbox set done = 1;
    pragma writable_schema = on;
    update sqlite_schema set sql = replace(sql, 'done = 0', 'done = 1') where name = 'inbox_waiting';
    pragma writable_schema = reset;
    reindex inbox_waiting;
    pragma writable_schema = on;
    update sqlite_schema set sql = replace(sql, 'done = 1', 'done = 0') where name = 'inbox_waiting';
    pragma writable_schema = reset;";

/// The table that the migration to version 6 creates and removes again.
const UNLINKED: &str = "create table unlinked (kind text not null, subject text not null, primary key (kind, subject))
                        strict, without rowid;
                        insert into unlinked values ('grant', '7f3a/9');";

const FORGED_GRANT: &str = "insert into granted (id, person_id, person_name, role, app, by_id, by_name, bot, at)
     values ('7f3a/9', '@eve:example.org', 'eve', 'admin', 'cms', 'a', 'a', 'marvin', '2026-01-01T00:00:00Z');";

async fn scene() -> TamperTest {
    let bob = Person { id: "@bob:example.org".into(), name: "Bob".into() };
    let grant = Grant {
        id: "7f3a/3".into(),
        person: bob.clone(),
        role: "deployer".into(),
        app: "cms".into(),
        environment: None,
        by: bob,
        bot: "marvin".into(),
        at: at(3),
        until: None,
    };
    // Links 10 to 12.
    TamperTest::with(vec![vec![Write::Receive(message(1)), Write::Receive(message(2))], vec![Write::Grant(grant)]])
        .await
}

#[tokio::test]
async fn a_row_below_the_first_number_is_named() {
    let test = scene().await;
    for number in [0, -1, i64::MIN] {
        let message = format!(
            "insert into inbox (seq, network, room, event, sender_id, sender_name, text, at)
             values ({number}, 'matrix', '!ops', '$forged', '@alice:example.org', 'alice', 'approve', '2026-01-01T00:00:00Z')"
        );
        let moved = format!("update inbox set seq = {number} where event = '$event1'");
        for forgery in [message, moved] {
            let fault = test.fault_with(&forgery, Some(&test.head)).await;
            let expected = format!(
                "the messages cannot be read: the column `seq` cannot be read: {number} is not the number of a row"
            );
            assert_eq!(fault, expected, "{forgery}");
        }
        let link =
            format!("insert into link select {number}, kind, subject, digest, at, hash from link where number = 9");
        let expected = format!(
            "the hash chain after link 0 cannot be read: the column `number` cannot be read: {number} is not the number of a row"
        );
        assert_eq!(test.fault_with(&link, Some(&test.head)).await, expected);
    }
}

#[tokio::test]
async fn a_row_that_an_index_hides_or_shows_is_named() {
    let test = scene().await;
    for (forgery, index) in [(SECOND_GRANT, "sqlite_autoindex_granted_1"), (HANDLED_AS_WAITING, "inbox_waiting")] {
        let fault = test.fault_with(forgery, Some(&test.head)).await;
        assert!(fault.starts_with("the database file is damaged: ") && fault.contains(index), "{fault}");
    }
}

#[tokio::test]
async fn a_changed_schema_is_named() {
    let test = scene().await;
    let hidden = "alter table granted rename to granted_by;
                  create view granted as select * from granted_by where person_id <> '@eve:example.org'";
    let unlike = "pragma writable_schema = on;
                  update sqlite_schema set sql = replace(sql, 'not null unique', 'not null') where name = 'release';
                  delete from sqlite_schema where name = 'sqlite_autoindex_release_1'";
    for (change, fault) in [
        ("create view spare as select 1", "the view `spare` was added to the database"),
        (
            "create trigger hide after insert on link begin delete from line; end",
            "the trigger `hide` was added to the database",
        ),
        ("create index spare on inbox (text)", "the index `spare` was added to the database"),
        (UNLINKED, "the table `unlinked` was added to the database"),
        ("drop index inbox_waiting", "the index `inbox_waiting` is missing from the database"),
        ("alter table inbox add column spare text", "the table `inbox` of the database was changed"),
        (unlike, "the table `release` of the database was changed"),
        (hidden, "the view `granted` was added to the database"),
    ] {
        assert_eq!(test.fault_with(change, Some(&test.head)).await, fault, "{change}");
    }
    // SQLite's own tables.
    assert_eq!(test.verify("analyze", Some(&test.head)).await, Ok(()));
}

#[tokio::test]
async fn a_row_that_no_link_covers_is_named() {
    let test = scene().await;
    let record = |link: i64| {
        format!(
            "insert into line (link, network, room, event, caller_id, caller_name, plugin, command, at, calls, denials,
             refused) select {link}, network, room, event, caller_id, caller_name, plugin, command, at, calls, denials,
             refused from line where link = 7"
        )
    };
    // Links of a removal, a job and a message, and two links that do not exist.
    for link in [3, 6, 10, 99, -5] {
        let fault = test.fault_with(&record(link), Some(&test.head)).await;
        let expected =
            format!("an audit record was added to link {link} of the hash chain, which covers no audit records");
        assert_eq!(fault, expected);
    }
    let entry = "insert into entry (job, number, kind, plugin, call, rule, attributes, body, at, hash)
                 select 'bad', number, kind, plugin, call, rule, attributes, body, at, hash from entry where job = '0b'";
    assert_eq!(
        test.fault_with(entry, Some(&test.head)).await,
        "a journal entry of job bad was added, but the store has no such job"
    );
}

#[tokio::test]
async fn a_host_does_not_open_a_database_with_a_changed_schema() {
    let test = scene().await;
    let file = test.file("wardroom.db");
    for (changes, repair, reason) in [
        ("create view spare as select 1", "drop view spare", "the view `spare` was added to the database"),
        (
            &format!("{FORGED_GRANT} {UNLINKED}"),
            "drop table unlinked",
            "the table `unlinked` was added to the database",
        ),
        (
            "create table saved as select * from _sqlx_migrations where version = 6;
             delete from _sqlx_migrations where version = 6",
            "insert into _sqlx_migrations select * from saved; drop table saved",
            "the migration to version 6 has already added its links",
        ),
    ] {
        change(&file, changes).await;
        let error = SqliteStore::open(&file).await.expect_err(reason);
        assert!(matches!(&error, OpenError::Database { .. }) && error.to_string().contains(reason), "{error}");
        change(&file, repair).await;
    }
    // No refused start added a link.
    let store = SqliteStore::open(&file).await.expect("opens");
    assert_eq!(store.links(0, 99).await.expect("links").len(), 12);
    let fault = wardroom::journal::verify(&store, None).await.expect("a readable store").expect_err("a forged grant");
    assert_eq!(fault.message, "the grant 7f3a/9 was added: the hash chain has no link for it");
    store.close().await;
}
