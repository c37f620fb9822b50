//! Creates a database with many jobs that wait for a time. An engine parks one job; its writes are repeated with other
//! ids.
//!
//! Invariant: only ids differ. The store computes the hashes of the copies, so each has a valid journal and can be
//! replayed.
//! Not here: the bytes of the plugin, which a host stores when it starts.

use std::{path::Path, sync::Arc};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Serialize, de::DeserializeOwned};
use wardroom::{
    adapter::MemoryChat,
    store::{EntryKind, JobPhase, JobQuery, MemoryStore, Store as _, Write},
};
use wardroom_sqlite::SqliteStore;
use wardroom_tests::hooked::HookedStore;

use crate::{
    recorder::Recorder,
    scene,
    serving::{ROOM, Serving},
};

/// The number of jobs in one transaction.
const BATCH: usize = 500;
/// Placeholders for the ids of the job and of its message.
const JOB: &str = "<job>";
const EVENT: &str = "<event>";

/// Returns the id of a job by its number: five letters and digits, like the engine's ids.
pub(crate) fn id(number: usize) -> String {
    const SIGNS: &[u8; 31] = b"23456789abcdefghjkmnpqrstuvwxyz";
    (0..5).rev().map(|place| char::from(SIGNS[number / SIGNS.len().pow(place) % SIGNS.len()])).collect()
}

/// Creates `jobs` jobs of `person` in a new or existing database.
pub(crate) async fn make(database: &Path, module: &Path, jobs: usize, person: &str) -> Result<()> {
    let pattern = pattern(module, person).await?;
    let store = SqliteStore::open(database).await?;
    for first in (0..jobs).step_by(BATCH) {
        let mut writes = Vec::new();
        for number in first..jobs.min(first + BATCH) {
            for row in &pattern {
                writes.push(row.write(&id(number), &format!("parked-{number}"))?);
            }
        }
        store.commit(writes).await?;
    }
    let parked = JobQuery { open: Some(true), phases: Some(vec![JobPhase::Time]), ..JobQuery::default() };
    let found = store.jobs(&parked).await?.len();
    ensure!(found == jobs, "{found} jobs wait for a time instead of {jobs}");
    store.close().await;
    Ok(())
}

/// Runs an engine until it has parked a job. Returns the engine's writes.
async fn pattern(module: &Path, person: &str) -> Result<Vec<Row>> {
    let folder = tempfile::tempdir()?;
    let hooked = Arc::new(HookedStore::new(Arc::new(MemoryStore::new()), Recorder::default().recording()));
    let text = format!("[bot.bench.memory]\n\n{}{}", scene::role(), scene::plugin("bench", module));
    let serving = Serving::start(folder.path(), &text, hooked.clone()).await?;
    serving.types(["park 300d".to_owned()]).await?;
    serving.until_idle().await;
    serving.end().await?;
    let writes: Vec<Write> = hooked.hooks().written().into_iter().flatten().collect();
    let opened = writes.iter().find_map(|write| match write {
        Write::Open(row) => Some(row.clone()),
        _ => None,
    });
    let row = opened.context("no job was created")?;
    let waits = |write: &Write| matches!(write, Write::Append(entry) if entry.kind == EntryKind::Wait);
    ensure!(writes.iter().any(waits), "job `{}` did not park", row.line);
    let of_job = |write: &&Write| !matches!(write, Write::StoreBlob { .. });
    // Change the network to the console, which the measured host has.
    let network = |name: &str| format!(r#""network":"{name}""#);
    let (ours, theirs) = (network(MemoryChat::NETWORK), network(ROOM));
    let names = [
        (row.id.as_str(), JOB),
        (row.inbox.event.as_str(), EVENT),
        (ours.as_str(), theirs.as_str()),
        (scene::PERSON, person),
    ];
    writes.iter().filter(of_job).map(|write| Row::new(write, &names)).collect()
}

/// The kinds of writes of a job until it is parked.
#[derive(Debug, Clone, Copy)]
enum Kind {
    Receive,
    Done,
    Say,
    Sent,
    Open,
    Stand,
    Enter,
}

/// A write with placeholders for its ids.
#[derive(Debug)]
struct Row {
    kind: Kind,
    /// The write as JSON.
    text: String,
}

impl Row {
    /// Converts a write, with the names replaced by their placeholders.
    fn new(write: &Write, names: &[(&str, &str)]) -> Result<Self> {
        let (kind, text) = match write {
            Write::Receive(row) => (Kind::Receive, json(row)?),
            Write::Handled(key) => (Kind::Done, json(key)?),
            Write::Send(row) => (Kind::Say, json(row)?),
            Write::Sent { key, version, event } => (Kind::Sent, json(&(key, version, event))?),
            Write::Open(row) => (Kind::Open, json(row)?),
            Write::JobStatus { job, status } => (Kind::Stand, json(&(job, status))?),
            Write::Append(entry) => (Kind::Enter, json(entry)?),
            other => bail!("a parked job has rows that this benchmark does not copy: {other:?}"),
        };
        Ok(Self { kind, text: names.iter().fold(text, |text, (name, other)| replace(&text, name, other)) })
    }

    /// Returns the write with the ids of a copy.
    fn write(&self, job: &str, event: &str) -> Result<Write> {
        let text = self.text.replace(JOB, job).replace(EVENT, event);
        Ok(match self.kind {
            Kind::Receive => Write::Receive(read(&text)?),
            Kind::Done => Write::Handled(read(&text)?),
            Kind::Say => Write::Send(read(&text)?),
            Kind::Sent => {
                let (key, version, event) = read(&text)?;
                Write::Sent { key, version, event }
            }
            Kind::Open => Write::Open(read(&text)?),
            Kind::Stand => {
                let (job, status) = read(&text)?;
                Write::JobStatus { job, status }
            }
            Kind::Enter => Write::Append(read(&text)?),
        })
    }
}

fn json(value: &impl Serialize) -> Result<String> {
    Ok(serde_json::to_string(value)?)
}

fn read<T: DeserializeOwned>(text: &str) -> Result<T> {
    Ok(serde_json::from_str(text)?)
}

/// Replaces a name if it is a whole word and not a part of a longer word, such as a digest.
fn replace(text: &str, name: &str, other: &str) -> String {
    let inside = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let mut replaced = String::with_capacity(text.len());
    let mut end = 0;
    for (at, found) in text.match_indices(name) {
        let after = at + found.len();
        if !inside(text[..at].chars().next_back()) && !inside(text[after..].chars().next()) {
            replaced.push_str(&text[end..at]);
            replaced.push_str(other);
            end = after;
        }
    }
    replaced.push_str(&text[end..]);
    replaced
}

#[cfg(test)]
mod tests {
    use wardroom::journal::JobJournal;

    use super::*;

    #[test]
    fn ids_have_the_format_of_the_engine() {
        assert_eq!([id(0), id(1), id(31), id(99_999)], ["22222", "22223", "22232", "25d3t"]);
    }

    #[test]
    fn only_whole_words_are_replaced() {
        let text = r#"{"job":"7ab3c","timer":"7ab3c-t1","digest":"sha256:07ab3c1"}"#;
        let wanted = r#"{"job":"<job>","timer":"<job>-t1","digest":"sha256:07ab3c1"}"#;
        assert_eq!(replace(text, "7ab3c", JOB), wanted);
    }

    #[tokio::test(flavor = "multi_thread")]
    async fn copies_have_valid_journals_and_their_own_ids() {
        let folder = tempfile::tempdir().unwrap();
        let database = folder.path().join("wardroom.db");
        let scene = scene::Scene::of_environment().unwrap();
        make(&database, &scene.guests.join("bench.wasm"), 3, "dave").await.unwrap();
        let store = SqliteStore::open_read_only(&database).await.unwrap();
        let jobs = store.jobs(&JobQuery::default()).await.unwrap();
        assert_eq!(jobs.iter().map(|job| job.id.as_str()).collect::<Vec<_>>(), ["22224", "22223", "22222"]);
        for job in jobs {
            assert_eq!((job.caller.id.as_str(), job.inbox.network.as_str()), ("dave", ROOM));
            let journal = JobJournal::read(&store, &job.id).await.unwrap().unwrap();
            journal.check().unwrap();
            let entries = journal.entries();
            let kinds: Vec<EntryKind> = entries.iter().map(|sealed| sealed.entry.kind).collect();
            assert_eq!(kinds, [EntryKind::Invocation, EntryKind::Call, EntryKind::Wait]);
            // Each copy waits for its own timer.
            let body = entries[2].entry.body.to_string();
            assert!(body.contains(&format!("{}-t1", job.id)) && !body.contains('<'), "{body}");
        }
    }
}
