//! Tests that change the database by SQL statements: the verification of the journal finds and names each change.

use std::path::{Path, PathBuf};

use sqlx::{ConnectOptions, Connection, sqlite::SqliteConnectOptions};
use wardroom::{
    journal::Head,
    store::{AuditRecord, EntryKind, JobRow, Store, Write},
};
use wardroom_sqlite::SqliteStore;

use crate::rows::{at, closing, closing_at, entry, job, key, line, opening, opening_of};

/// A database with a closed job (7f3a), an open job (0b), a removed job (01d), and audit records of queries and refused
/// commands.
pub(crate) struct TamperTest {
    folder: tempfile::TempDir,
    pub(crate) head: Head,
}

fn entries(job: &str, numbers: std::ops::Range<u32>) -> Vec<Write> {
    numbers.map(|number| Write::Append(entry(job, number, EntryKind::Call))).collect()
}

fn refused(number: u32) -> Write {
    Write::AuditRecord(AuditRecord { refused: true, inbox: key(number), ..line(None, &[]) })
}

impl TamperTest {
    async fn new() -> Self {
        let test = Self::with(Vec::new()).await;
        assert_eq!(test.head.number, 9);
        test
    }

    /// Creates the database and commits further lists of writes, whose first link has the number 10.
    pub(crate) async fn with(further: Vec<Vec<Write>>) -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let store = SqliteStore::open(&folder.path().join("wardroom.db")).await.expect("opens");
        let bytes = b"the plugin".to_vec();
        let digest = wardroom::store::digest(&bytes);
        let mut large = entry("7f3a", 1, EntryKind::Call);
        large.body = serde_json::json!({ "arguments": "x".repeat(20_000) });
        let blob = large.pack().expect("it is large");
        let lists = [
            // Links 1 and 2; the removal adds link 3.
            [opening("01d"), closing_at("01d", 1, -100)].concat(),
            // Links 4 and 5: 7f3a has entries 0 to 6.
            [
                vec![Write::StoreBlob { digest: digest.clone(), bytes }, blob],
                opening_of(JobRow { digest, ..job("7f3a") }),
                vec![Write::Append(large)],
                entries("7f3a", 2..6),
                closing("7f3a", 6),
            ]
            .concat(),
            // Link 6: 0b has entries 0 to 4.
            [opening("0b"), entries("0b", 1..5)].concat(),
            // Links 7 to 9.
            vec![
                refused(1),
                refused(2),
                Write::AuditRecord(line(None, &[])),
                Write::AuditRecord(line(Some("deploy"), &[])),
            ],
        ];
        for (number, list) in lists.into_iter().chain(further).enumerate() {
            store.commit(list).await.expect("a commit");
            if number == 0 {
                let removed = store.remove(at(-50), &[]).await.expect("removes");
                assert_eq!(removed.jobs.len(), 1);
            }
        }
        let head =
            wardroom::journal::verify(&store, None).await.expect("a readable store").expect("a valid chain").head;
        store.close().await;
        Self { folder, head }
    }

    pub(crate) fn file(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Executes SQL statements on a copy of the database, verifies the copy, and returns the fault that is found.
    pub(crate) async fn fault(&self, statements: &str) -> String {
        self.fault_with(statements, None).await
    }

    pub(crate) async fn fault_with(&self, statements: &str, head: Option<&Head>) -> String {
        match self.verify(statements, head).await {
            Err(fault) => fault,
            Ok(()) => panic!("no fault was found: {statements}"),
        }
    }

    pub(crate) async fn verify(&self, statements: &str, head: Option<&Head>) -> Result<(), String> {
        let copy = self.file("copy.db");
        std::fs::copy(self.file("wardroom.db"), &copy).expect("copies");
        change(&copy, statements).await;
        let store = SqliteStore::open_read_only(&copy).await.expect("opens");
        let found = wardroom::journal::verify(&store, head).await.expect("a readable store");
        store.close().await;
        found.map(drop).map_err(|fault| fault.message)
    }
}

pub(crate) async fn change(file: &Path, statements: &str) {
    let options = SqliteConnectOptions::new().filename(file).foreign_keys(false);
    let mut connection = options.connect().await.expect("connects");
    sqlx::raw_sql(sqlx::AssertSqlSafe(statements.to_owned())).execute(&mut connection).await.expect("changes");
    connection.close().await.expect("closes");
}

/// Returns SQL statements that swap the values `one` and `other` of the column `number` in two rows of a table.
fn swap(table: &str, number: &str, of: &str, one: u32, other: u32) -> String {
    format!(
        "update {table} set {number} = -1 where {number} = {one} {of};
         update {table} set {number} = {one} where {number} = {other} {of};
         update {table} set {number} = {other} where {number} = -1 {of};"
    )
}

#[tokio::test]
async fn an_unchanged_database_is_valid() {
    let test = TamperTest::new().await;
    assert_eq!(test.verify("select 1", Some(&test.head)).await, Ok(()));
    // Writing the same values is no change.
    assert_eq!(test.verify("update entry set body = body, rule = rule", None).await, Ok(()));
}

#[tokio::test]
async fn a_changed_entry_is_named() {
    let test = TamperTest::new().await;
    for change in [
        "body = replace(body, '1.0.2', '6.6.6')",
        "body = 'not even JSON'",
        "rule = 'plugin.deploy plugins.toml line 1'",
        "attributes = '{}'",
        "call = 'log.info'",
        "plugin = 'coffee'",
        "kind = 'denied'",
        "of = 1",
        "at = '2020-01-01T00:00:00.000000000Z'",
        "beside = 'sha256:00'",
        "hash = replace(hash, substr(hash, 1, 1), 'x')",
    ] {
        for job in ["7f3a", "0b"] {
            let fault = test.fault(&format!("update entry set {change} where job = '{job}' and number = 4")).await;
            let unreadable = format!("job {job} cannot be read: the column `body` cannot be read");
            let expected =
                if change.contains("JSON") { unreadable } else { format!("journal entry 4 of job {job} was changed") };
            assert!(fault.starts_with(&expected), "{change}: {fault}");
        }
    }
    for (job, number) in [("7f3a", 0), ("7f3a", 6), ("0b", 0), ("0b", 4)] {
        let fault = test.fault(&format!("update entry set rule = 'x' where job = '{job}' and number = {number}")).await;
        assert_eq!(fault, format!("journal entry {number} of job {job} was changed"));
    }
}

#[tokio::test]
async fn a_removed_entry_is_named() {
    let test = TamperTest::new().await;
    for (job, number) in [("7f3a", 0), ("7f3a", 3), ("7f3a", 6), ("0b", 0), ("0b", 3), ("0b", 4)] {
        let fault = test.fault(&format!("delete from entry where job = '{job}' and number = {number}")).await;
        assert_eq!(fault, format!("journal entry {number} of job {job} is missing"));
    }
    let all = test.fault("delete from entry where job = '0b'").await;
    assert_eq!(all, "journal entry 0 of job 0b is missing");
    // The chain holds the last entry of a closed job, independent of the job's row.
    let fault = test
        .fault(
            "delete from entry where job = '7f3a' and number = 6;
             update job set entries = 6, tip = (select hash from entry where job = '7f3a' and number = 5)
             where id = '7f3a'",
        )
        .await;
    assert_eq!(fault, "journal entry 6 of job 7f3a is missing");
    let fault = test.fault("update job set entries = 4 where id = '0b'").await;
    assert_eq!(fault, "journal entry 4 of job 0b was added without being recorded");
    let fault = test.fault("update job set tip = '' where id = '0b'").await;
    assert_eq!(fault, "journal entry 4 of job 0b was changed");
}

#[tokio::test]
async fn a_moved_entry_is_named() {
    let test = TamperTest::new().await;
    for (job, one, other) in [("7f3a", 2, 3), ("7f3a", 2, 5), ("7f3a", 5, 6), ("0b", 1, 2), ("0b", 0, 4)] {
        let fault = test.fault(&swap("entry", "number", &format!("and job = '{job}'"), one, other)).await;
        assert_eq!(fault, format!("journal entry {other} of job {job} was moved: the entry belongs at number {one}"));
    }
    let fault = test.fault("update entry set number = 9 where job = '0b' and number = 3").await;
    assert_eq!(fault, "journal entry 9 of job 0b was moved: the entry belongs at number 3");
    // An entry of another job.
    let fault = test
        .fault(
            "delete from entry where job = '0b' and number = 3;
                update entry set job = '0b' where job = '7f3a' and number = 3",
        )
        .await;
    assert_eq!(fault, "journal entry 3 of job 7f3a is missing");
}

#[tokio::test]
async fn a_changed_line_is_named_by_its_link() {
    let test = TamperTest::new().await;
    for (change, link) in [
        ("update line set command = 'deploy' where link = 7", 7),
        ("update line set denials = '[]' where link = 8", 8),
        ("update line set refused = 0 where link = 8", 8),
        ("update line set caller_id = '@mallory:example.org' where plugin = 'deploy'", 9),
        ("delete from line where plugin = 'deploy'", 9),
        ("update line set link = 7 where link = 8", 7),
        (&swap("line", "seq", "and link = 9", 3, 4), 9),
        (
            "insert into line select seq + 10, link, network, room, event, caller_id, caller_name, plugin, command, at,
          calls, denials, refused from line where link = 9",
            9,
        ),
    ] {
        let fault = test.fault(change).await;
        assert_eq!(
            fault,
            format!("an audit record of link {link} of the hash chain was changed, removed or moved"),
            "{change}"
        );
    }
    assert_eq!(
        test.fault("delete from line where link = 7").await,
        "the audit records of link 7 of the hash chain are missing"
    );
}

#[tokio::test]
async fn a_changed_link_is_named() {
    let test = TamperTest::new().await;
    for change in ["digest = ''", "subject = 'ffff'", "kind = 'refusal'", "at = '2020-01-01T00:00:00Z'", "hash = ''"] {
        let fault = test.fault(&format!("update link set {change} where number = 6")).await;
        assert_eq!(fault, "link 6 of the hash chain was changed", "{change}");
    }
    for number in [1, 3, 5, 8] {
        let fault = test.fault(&format!("delete from link where number = {number}")).await;
        assert_eq!(fault, format!("link {number} of the hash chain is missing"));
    }
    let fault = test.fault(&swap("link", "number", "", 5, 6)).await;
    assert_eq!(fault, "link 6 of the hash chain was moved: the link belongs at number 5");
}

#[tokio::test]
async fn a_truncated_chain_is_found_with_a_head() {
    let test = TamperTest::new().await;
    let cut = "delete from line where link = 9; delete from link where number = 9";
    assert_eq!(test.verify(cut, None).await, Ok(()), "only the head reveals it");
    let fault = test.fault_with(cut, Some(&test.head)).await;
    assert_eq!(fault, "the hash chain ends at link 8, but the given head is link 9: links were removed from the end");
    // The row of a job reveals that its links were removed.
    let fault = test.fault("delete from link where number > 5; delete from line").await;
    assert_eq!(fault, "job 0b was added to the store later: the hash chain has no link for the start of the job");
    let fault = test
        .fault(
            "delete from link where number > 4; delete from line; delete from entry where job = '0b';
                             delete from job where id = '0b'",
        )
        .await;
    assert_eq!(fault, "the row of job 7f3a is closed, but the hash chain has no link that closes the job");
}

#[tokio::test]
async fn a_job_row_that_differs_from_its_entries_is_named() {
    let test = TamperTest::new().await;
    for (change, what) in [
        ("outcome = 'succeeded'", "the outcome of job 7f3a was changed"),
        ("caller_id = '@mallory:example.org'", "the caller of job 7f3a was changed"),
        ("caller_name = 'mallory'", "the caller of job 7f3a was changed"),
        ("line = 'deploy cms staging 1.0.1'", "the command of job 7f3a was changed"),
        ("digest = 'sha256:11'", "the digest of the plugin of job 7f3a was changed"),
        ("plugin = 'coffee'", "the plugin of job 7f3a was changed"),
        ("ended = null", "the hash chain records that job 7f3a was closed, but the job's row is open"),
        ("id = '7f3b'", "job 7f3a is missing"),
        ("summary = 'all is well'", "the end in the row of job 7f3a or its journal entry 6 was changed"),
        ("ended = '2020-01-01T00:00:00Z'", "the end in the row of job 7f3a or its journal entry 6 was changed"),
    ] {
        let fault = test.fault(&format!("update job set {change} where id = '7f3a'")).await;
        assert_eq!(fault, what, "{change}");
    }
    for change in [
        "app = 'shop'",
        "environment = 'production'",
        "room = '!other'",
        "event = '$x'",
        "thread = '$x'",
        "bot = 'other'",
        "overrides = 'none needed'",
        "parent = '7f3a'",
        "command = 'rollback'",
        "opened = '2020-01-01T00:00:00Z'",
    ] {
        for job in ["7f3a", "0b"] {
            let fault = test.fault(&format!("update job set {change} where id = '{job}'")).await;
            assert_eq!(fault, format!("the row or journal entry 0 of job {job} was changed"), "{change}");
        }
    }
    let fault =
        test.fault("update job set ended = opened, outcome = 'failed', summary = 'removal' where id = '0b'").await;
    assert_eq!(fault, "the row of job 0b is closed, but the hash chain has no link that closes the job");
}

#[tokio::test]
async fn a_deleted_or_added_job_is_named() {
    let test = TamperTest::new().await;
    for job in ["7f3a", "0b"] {
        let removal = format!("delete from entry where job = '{job}'; delete from job where id = '{job}'");
        assert_eq!(test.fault(&removal).await, format!("job {job} is missing"));
        let row = format!("delete from job where id = '{job}'");
        assert_eq!(test.fault(&row).await, format!("job {job} is missing"));
    }
    let invented = "insert into job (id, network, room, event, bot, caller_id, caller_name, plugin, digest, command,
                    line, opened, phase, about, since)
                    select 'bad', network, room, event, bot, caller_id, caller_name, plugin, digest, command, line,
                    opened, phase, about, since from job where id = '0b'";
    assert_eq!(
        test.fault(invented).await,
        "job bad was added to the store later: the hash chain has no link for the start of the job"
    );
}

#[tokio::test]
async fn a_changed_blob_is_named() {
    let test = TamperTest::new().await;
    let body = "(select beside from entry where beside is not null)";
    let fault = test.fault(&format!("update beside set bytes = x'7b7d' where digest = {body}")).await;
    assert_eq!(fault, "the blob of journal entry 1 of job 7f3a was changed");
    let fault = test.fault(&format!("delete from beside where digest = {body}")).await;
    assert_eq!(fault, "the blob of journal entry 1 of job 7f3a is missing");
    let fault = test.fault(&format!("update beside set bytes = x'00' where digest <> {body}")).await;
    assert!(fault.starts_with("the plugin of job 7f3a, sha256:") && fault.ends_with(", was changed"), "{fault}");
}
