//! Tests with random sequences of commits, `note` calls, crashes and removals. After them, the hash chain is valid, and
//! the in-memory store and the SQLite store have the same content.

use std::path::Path;

use proptest::prelude::*;
use wardroom::{
    Timestamp,
    store::{AuditRecord, Entry, EntryKind, JobPhase, JobQuery, JobRow, MemoryStore, Removed, Store, Write, digest},
};
use wardroom_sqlite::SqliteStore;

use crate::rows::{at, card, closing_at, entry, job, key, line, message, opening_of, sent, status, take};

/// A part of a list of writes. The parts use only a few different jobs, so that many lists are invalid.
#[derive(Debug, Clone)]
enum Act {
    Open {
        job: u8,
        message: u8,
    },
    /// Appends a journal entry. Its number is the number of the job's next entry plus `off` minus one. An `off` of 1
    /// gives the correct number.
    Enter {
        job: u8,
        kind: usize,
        off: u8,
        large: bool,
    },
    Stand {
        job: u8,
        phase: usize,
        wake: Option<i64>,
    },
    Take {
        job: u8,
        place: u8,
    },
    Close {
        job: u8,
    },
    AuditRecord {
        refused: bool,
    },
    Receive {
        message: u8,
        done: bool,
    },
    Card {
        job: u8,
        sent: bool,
    },
    Keep {
        job: u8,
    },
}

#[derive(Debug, Clone)]
enum Step {
    Commit(Vec<Act>),
    /// A list that is passed to `note`. It is stored with the next commit, or lost if a crash comes first.
    Note(Vec<Act>),
    /// A crash. `written` is the number of lists from earlier `note` calls that were stored before the crash.
    Crash {
        written: usize,
    },
    /// Removes the data that is older than `ago` steps.
    Remove {
        ago: i64,
    },
}

const KINDS: [EntryKind; 6] =
    [EntryKind::Call, EntryKind::Intent, EntryKind::Result, EntryKind::Wait, EntryKind::Denied, EntryKind::Event];

fn act() -> impl Strategy<Value = Act> {
    let job = 0..5_u8;
    prop_oneof![
        3 => (job.clone(), 0..8_u8).prop_map(|(job, message)| Act::Open { job, message }),
        8 => (job.clone(), 0..KINDS.len(), prop_oneof![9 => Just(1_u8), 1 => 0..3_u8], prop::bool::weighted(0.2))
            .prop_map(|(job, kind, off, large)| Act::Enter { job, kind, off, large }),
        2 => (job.clone(), 0..JobPhase::ALL.len(), proptest::option::of(0..50_i64))
            .prop_map(|(job, phase, wake)| Act::Stand { job, phase, wake }),
        2 => (job.clone(), 0..3_u8).prop_map(|(job, place)| Act::Take { job, place }),
        3 => job.clone().prop_map(|job| Act::Close { job }),
        2 => any::<bool>().prop_map(|refused| Act::AuditRecord { refused }),
        2 => (0..8_u8, any::<bool>()).prop_map(|(message, done)| Act::Receive { message, done }),
        1 => (job.clone(), any::<bool>()).prop_map(|(job, sent)| Act::Card { job, sent }),
        1 => job.prop_map(|job| Act::Keep { job }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        // Short lists, because a long one is mostly invalid.
        8 => proptest::collection::vec(act(), 1..4).prop_map(Step::Commit),
        4 => proptest::collection::vec(act(), 1..3).prop_map(Step::Note),
        1 => (0..3_usize).prop_map(|written| Step::Crash { written }),
        1 => (-5..20_i64).prop_map(|ago| Step::Remove { ago }),
    ]
}

/// Builds a list of writes. Computes the number of a job's next journal entry from the store and the earlier writes of
/// the list.
async fn writes(memory: &MemoryStore, acts: &[Act], now: i64) -> Vec<Write> {
    let mut writes = Vec::new();
    for act in acts {
        let next = async |job: &str, writes: &[Write]| {
            let written = memory.journal_head(job).await.expect("a journal head").map_or(0, |(entries, _)| entries);
            let more = writes.iter().filter(|write| matches!(write, Write::Append(entry) if entry.job == job)).count();
            written + u32::try_from(more).expect("few")
        };
        match *act {
            Act::Open { job: id, message } => {
                let (inbox, digest) = (key(message.into()), digest(&[id]));
                writes.extend(opening_of(JobRow { inbox, digest, opened: at(now), ..job(&name(id)) }));
            }
            Act::Enter { job, kind, off, large } => {
                let job = name(job);
                let number = (next(&job, &writes).await + u32::from(off)).saturating_sub(1);
                let mut entry = Entry { at: at(now), ..entry(&job, number, KINDS[kind]) };
                if large {
                    entry.body = serde_json::json!({ "answer": job.repeat(10_000) });
                    writes.extend(entry.pack());
                }
                writes.push(Write::Append(entry));
            }
            Act::Stand { job, phase, wake } => {
                writes.push(Write::JobStatus { job: name(job), status: status(JobPhase::ALL[phase], wake) });
            }
            Act::Take { job, place } => writes.push(take("cms", &place.to_string(), &name(job))),
            Act::Close { job } => {
                let job = name(job);
                let number = next(&job, &writes).await;
                writes.extend(closing_at(&job, number, now));
            }
            Act::AuditRecord { refused } => {
                writes.push(Write::AuditRecord(AuditRecord {
                    refused,
                    at: at(now),
                    ..line(Some("deploy"), &[("log.info", 1, 0)])
                }));
            }
            Act::Receive { message: number, done } => {
                writes.push(Write::Receive(message(number.into())));
                writes.extend(done.then(|| Write::Handled(key(number.into()))));
            }
            Act::Card { job, sent: done } => {
                let row = card(&format!("{}/card", name(job)), &now.to_string(), false);
                writes.push(Write::Send(row.clone()));
                let unsent = memory.outbox().await.expect("rows");
                let version = unsent.iter().find(|old| old.row.key == row.key).map_or(1, |old| old.version + 1);
                writes.extend(done.then(|| sent(&row.key, version, Some("$card"))));
            }
            Act::Keep { job } => writes.push(Write::StoreBlob { digest: digest(&[job]), bytes: vec![job] }),
        }
    }
    writes
}

fn name(job: u8) -> String {
    format!("{job:02x}")
}

/// Returns all content that must be the same in both stores. Leaves out the links of the hash chain, because each store
/// chooses which audit records share a link.
async fn everything(store: &dyn Store) -> String {
    store.commit(Vec::new()).await.expect("writes what was noted");
    let jobs = store.jobs(&JobQuery::default()).await.expect("jobs");
    let mut content = format!("{jobs:#?}");
    for job in &jobs {
        let entries = store.entries(&job.id).await.expect("entries");
        content += &format!("{entries:#?}{:?}", store.journal_head(&job.id).await.expect("a tip"));
    }
    for number in 0..5 {
        content += &format!("{:?}", store.blob(&digest(&[number])).await.expect("bytes"));
    }
    let whole = wardroom::journal::verify(store, None).await.expect("a readable store").expect("a valid chain");
    content += &format!(
        "{:#?}",
        (
            store.jobs(&JobQuery { open: Some(true), limit: Some(3), ..JobQuery::default() }).await.expect("jobs"),
            store.due(Timestamp::MAX, 99).await.expect("jobs"),
            store.next_wake().await.expect("a time"),
            store.locks().await.expect("places"),
            store.unhandled().await.expect("rows"),
            store.outbox().await.expect("rows"),
            store.usage().await.expect("usage"),
            (whole.jobs, whole.entries, whole.lines, whole.removed),
        )
    );
    content
}

async fn reopened(file: &Path) -> SqliteStore {
    SqliteStore::open(file).await.expect("opens")
}

/// Removes all data that is older than `before`, in as many calls as needed. Returns the removed jobs, sorted.
async fn removed(store: &dyn Store, before: Timestamp) -> Removed {
    let mut all = Removed::default();
    loop {
        let some = store.remove(before, &[digest(&[1])]).await.expect("removes");
        all.jobs.extend(some.jobs);
        all.rows += some.rows;
        if !some.more {
            all.jobs.sort_by(|one, other| one.0.cmp(&other.0));
            return all;
        }
    }
}

async fn both_agree(steps: Vec<Step>) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("wardroom.db");
    let mut sqlite = reopened(&file).await;
    let memory = MemoryStore::new();
    let mut noted: Vec<Vec<Write>> = Vec::new();
    // All writes between two commits have the same time, so the grouping of audit records into links has no effect on
    // the result.
    let mut now = 0;
    for step in steps {
        let note = |sqlite: &SqliteStore, noted: &mut Vec<Vec<Write>>, most: usize| {
            for list in noted.drain(..).take(most) {
                sqlite.note(list.clone());
                memory.note(list);
            }
        };
        match step {
            Step::Note(acts) => noted.push(writes(&memory, &acts, now).await),
            Step::Commit(acts) => {
                note(&sqlite, &mut noted, usize::MAX);
                let list = writes(&memory, &acts, now).await;
                let (one, other) = (memory.commit(list.clone()).await, sqlite.commit(list.clone()).await);
                assert_eq!(format!("{one:?}"), format!("{other:?}"), "{list:#?}");
                now += 1;
            }
            Step::Crash { written } => {
                note(&sqlite, &mut noted, written);
                drop(sqlite);
                sqlite = reopened(&file).await;
                assert_eq!(everything(&memory).await, everything(&sqlite).await);
            }
            Step::Remove { ago } => {
                note(&sqlite, &mut noted, usize::MAX);
                let before = at(now - ago);
                assert_eq!(removed(&memory, before).await, removed(&sqlite, before).await);
                assert_eq!(everything(&memory).await, everything(&sqlite).await);
            }
        }
    }
    assert_eq!(everything(&memory).await, everything(&sqlite).await);
    sqlite.close().await;
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_chain_stays_valid_and_both_stores_agree(steps in proptest::collection::vec(step(), 1..60)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(both_agree(steps));
    }
}
