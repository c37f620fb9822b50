//! Tests of crashes and of a full disk. Each test runs itself again as a child process.

use std::{
    io::{BufRead, BufReader, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use wardroom::store::{EntryKind, Store, StoreError, Write};
use wardroom_sqlite::{OpenError, SqliteStore};

use crate::{
    helpers::verified,
    rows::{closing, entry, key, line, message, opening, set},
};

/// The environment variable that is set in a child process. Its value is the path of the child's database.
const FILE: &str = "WARDROOM_STORE_TEST_FILE";

/// Returns the path of the database if this process is a child process of a test; otherwise `None`.
fn child_database() -> Option<PathBuf> {
    std::env::var_os(FILE).map(PathBuf::from)
}

/// Starts a shell that executes the commands in `shell` and then runs one test of this binary as a child process.
fn spawn_child(test: &str, file: &Path, shell: &str) -> Child {
    let binary = std::env::current_exe().expect("this binary");
    Command::new("bash")
        .args(["-c", &format!("{shell}\nexec \"$0\" \"$@\"")])
        .arg(binary)
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(FILE, file)
        .stdout(Stdio::piped())
        .spawn()
        .expect("a child")
}

/// Sends a line to the parent process. The line has a prefix, because the test harness writes other lines to the same
/// pipe.
fn send_to_parent(word: &str) {
    let mut out = std::io::stdout().lock();
    writeln!(out, "\n@{word}").and_then(|()| out.flush()).expect("the parent reads");
}

/// Returns the lines that a child process sends until it ends.
fn lines_of(child: &mut Child) -> impl Iterator<Item = String> + use<> {
    let out = child.stdout.take().expect("a pipe");
    BufReader::new(out).lines().map_while(Result::ok).filter_map(|line| line.strip_prefix('@').map(str::to_owned))
}

/// Returns the store changes that open and close a job and append an entry to the journal of this process's first job.
fn job_writes(number: u32) -> Vec<Write> {
    let id = |number: u32| format!("{:x}-{number}", std::process::id());
    let entry = (number > 0).then(|| Write::Append(entry(&id(0), number, EntryKind::Call)));
    let closing = if number > 0 { closing(&id(number), 1) } else { Vec::new() };
    [opening(&id(number)), closing, entry.into_iter().collect()].concat()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_commits_survive_sigkill() {
    if let Some(file) = child_database() {
        let store = SqliteStore::open(&file).await.expect("opens");
        for number in 0.. {
            let writes = vec![
                Write::Receive(message(number)),
                set("deploy", &format!("{number:08}"), &[7; 3000]),
                set("deploy", "newest", &number.to_le_bytes()),
            ];
            store.commit([writes, job_writes(number)].concat()).await.expect("a commit");
            store.note(vec![Write::AuditRecord(line(None, &[]))]);
            send_to_parent(&number.to_string());
        }
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("state/wardroom.db");
    let mut next = 0_u32;
    for round in 1..=3_u32 {
        let mut child = spawn_child("process::acknowledged_commits_survive_sigkill", &file, "");
        // Each child counts from 0; repeated writes change nothing.
        let mut words = lines_of(&mut child);
        let goal = next + 40 * round;
        let newest = words.by_ref().map(|word| word.parse::<u32>().expect("a number")).find(|number| *number >= goal);
        let refused = SqliteStore::open(&file).await.expect_err("the child holds the folder");
        assert!(matches!(refused, OpenError::InUse { .. }), "{refused}");
        child.kill().expect("kill -9");
        let start = Instant::now();
        let store = SqliteStore::open(&file).await.expect("opens right after the kill");
        assert!(start.elapsed() < Duration::from_secs(5));
        child.wait().expect("the child is gone");
        // The child may have sent further lines before it was killed.
        let acknowledged = words.filter_map(|word| word.parse().ok()).last().or(newest).expect("it committed");

        let whole = verified(&store).await;
        assert!(whole.jobs > u64::from(acknowledged), "{} of {acknowledged} are there", whole.jobs);
        let rows = store.unhandled().await.expect("rows");
        let values = store.values("deploy", "0", u32::MAX).await.expect("values");
        assert_eq!(rows.len(), values.len(), "each commit is there as a whole");
        assert!(rows.len() > acknowledged as usize, "{} of {acknowledged} are there", rows.len());
        for (number, (row, (name, value))) in (0..).zip(rows.iter().zip(&values)) {
            assert_eq!((row, name.as_str(), value.len()), (&message(number), format!("{number:08}").as_str(), 3000));
        }
        let newest = store.value("deploy", "newest").await.expect("a value").expect("it is there");
        assert!(u32::from_le_bytes(newest.try_into().expect("four bytes")) >= acknowledged);
        next = acknowledged;
        store.close().await;
    }
}

#[tokio::test]
async fn a_full_disk_loses_nothing() {
    if let Some(file) = child_database() {
        return fill_disk(&file).await;
    }
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    // Limits each file of the child to 2048 KiB, until the child lifts the limit.
    let shell = "trap '' XFSZ; ulimit -S -f 2048";
    let mut child = spawn_child("process::a_full_disk_loses_nothing", &file, shell);
    let words: Vec<String> = lines_of(&mut child).collect();
    assert!(child.wait().expect("the child ends").success(), "{words:?}");
    assert_eq!(words, ["full", "room again"]);
    let store = SqliteStore::open(&file).await.expect("opens");
    assert_eq!(store.value("deploy", "after").await.expect("a value"), Some(b"v".to_vec()));
    assert_eq!(store.value("deploy", "noted").await.expect("a value"), Some(b"v".to_vec()));
    store.close().await;
}

/// Runs in the child process: fills the disk, checks that a list of writes that failed changed nothing, then lifts the
/// limit of the file size and writes again.
async fn fill_disk(file: &Path) {
    let store = SqliteStore::open(file).await.expect("opens");
    let bulk = vec![7; 50_000];
    let mut written = 0;
    let refused = loop {
        let writes = vec![Write::Receive(message(written)), set("deploy", &format!("bulk{written:08}"), &bulk)];
        match store.commit(writes).await {
            Ok(new) => assert_eq!(new, [key(written)]),
            Err(error) => break error,
        }
        written += 1;
        assert!(written < 1000, "the limit has no effect");
    };
    assert!(matches!(refused, StoreError::Unavailable(_)), "{refused:?}");
    assert!(written > 5, "there was room at the start");
    store.note(vec![set("deploy", "noted", b"v")]);
    let again = store.commit(vec![set("deploy", "more", &bulk.repeat(4))]).await;
    assert!(matches!(again, Err(StoreError::Unavailable(_))), "{again:?}");
    assert_eq!(store.unhandled().await.expect("rows").len(), written as usize, "the refused list changed nothing");
    assert_eq!(store.values("deploy", "bulk", u32::MAX).await.expect("values").len(), written as usize);
    send_to_parent("full");

    let limit = getrlimit(Resource::Fsize);
    setrlimit(Resource::Fsize, Rlimit { current: limit.maximum, maximum: limit.maximum }).expect("room again");
    let new = store.commit(vec![Write::Receive(message(written)), set("deploy", "after", b"v")]).await;
    assert_eq!(new.expect("works again"), [key(written)]);
    assert_eq!(store.unhandled().await.expect("rows").len(), written as usize + 1);
    store.close().await;
    send_to_parent("room again");
}
