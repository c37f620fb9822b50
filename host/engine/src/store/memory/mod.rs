//! An in-memory implementation of [`Store`].
//!
//! Invariant: an invalid list of writes changes nothing. The store checks the whole list before the first change, and
//! no change can fail afterwards.
//! Not here: durable storage (`host/store/sqlite`). The data is lost when the process ends.

mod check;
mod jobs;
mod remove;
mod state;

use std::{
    collections::{BTreeMap, HashSet},
    ops::Bound,
};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::{Mutex, MutexGuard};

use super::{
    jobs::{DeploymentLock, JobPhase, JobQuery, JobRow},
    journal::{AuditRecord, CallCount, EntryKind, HashedEntry, Link, LinkKind, Removed},
    messages::{InboxKey, InboxRow, PendingRow, RoomCursor},
    releases::{Release, ReleaseQuery},
    rights::{Freeze, Grant, IdentityLink},
    traits::{Store, StoreError, Write},
};
use crate::store::memory::{jobs::Job, state::State};

/// A [`Store`] that keeps all data in memory, for tests and the console.
///
/// [`Store::note`] only queues changes. The next commit or read applies the queued changes first.
///
/// ```
/// use wardroom::prelude::*;
///
/// let store = MemoryStore::new();
/// assert!(store.all_jobs().is_empty());
/// ```
#[derive(Debug, Default)]
pub struct MemoryStore {
    // The queue has its own lock, so that `note` does not wait for readers of `state`.
    notes: Mutex<Vec<Vec<Write>>>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// Creates a store without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns the rows of all jobs, open and ended, the oldest first.
    pub fn all_jobs(&self) -> Vec<JobRow> {
        self.state().jobs.all().map(|job| job.row.clone()).collect()
    }

    /// Returns all audit records, in the order of their links in the hash chain.
    pub fn all_lines(&self) -> Vec<AuditRecord> {
        self.state().lines.values().flatten().cloned().collect()
    }

    /// Applies all queued changes, adds a link to the hash chain for the audit records that have no link yet, and
    /// returns the locked state.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state_with_notes();
        state.seal();
        state
    }

    /// Applies all queued changes, and returns the locked state. Unlike [`Self::state`], adds no link to the hash chain
    /// for the audit records of queries.
    fn state_with_notes(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock();
        // Take the queue while `state` is locked, so that a later commit cannot overtake a queued write.
        let notes = std::mem::take(&mut *self.notes.lock());
        for note in notes {
            if let Err(error) = state.commit(note) {
                tracing::error!(
                    %error,
                    "cannot apply queued writes to the in-memory store; the writes are lost; \
                     hint: report this bug with the host's log"
                );
            }
        }
        state
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        let mut state = self.state_with_notes();
        let committed = state.commit(writes);
        state.seal();
        committed
    }

    fn note(&self, writes: Vec<Write>) {
        self.notes.lock().push(writes);
    }

    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError> {
        let state = self.state();
        Ok(state.unhandled.iter().filter_map(|at| state.inbox.get(at)).cloned().collect())
    }

    async fn messages(&self, after: u64, limit: u32) -> Result<Vec<(u64, InboxRow)>, StoreError> {
        let state = self.state();
        let rows = state.inbox.range((Bound::Excluded(after), Bound::Unbounded));
        Ok(rows.take(usize::try_from(limit).unwrap_or(usize::MAX)).map(|(at, row)| (*at, row.clone())).collect())
    }

    async fn is_handled(&self, key: &InboxKey) -> Result<Option<bool>, StoreError> {
        let state = self.state();
        Ok(state.inbox_keys.get(key).map(|at| !state.unhandled.contains(at)))
    }

    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError> {
        Ok(self.state().cursors.get(&(bot.to_owned(), network.to_owned(), room.to_owned())).cloned())
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        let state = self.state();
        Ok(state.unsent.iter().filter_map(|at| state.outbox.get(at)).map(|slot| slot.pending.clone()).collect())
    }

    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        let state = self.state();
        let matches = |pending: &PendingRow| pending.row.network == network && pending.event.as_deref() == Some(event);
        let found = state.outbox.values().map(|slot| &slot.pending).find(|pending| matches(pending));
        Ok(found.map(|pending| pending.row.key.clone()))
    }

    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        let state = self.state();
        let found = state.outbox.values().map(|slot| &slot.pending).find(|pending| pending.row.key == key);
        Ok(found.and_then(|pending| pending.event.clone()))
    }

    async fn newest_deduplication_key(&self, prefix: &str) -> Result<Option<(String, Timestamp)>, StoreError> {
        let state = self.state();
        let keys = state.deduplication_keys.iter().filter(|(key, _)| key.starts_with(prefix));
        Ok(keys.max_by_key(|(key, at)| (**at, *key)).map(|(key, at)| (key.clone(), *at)))
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        Ok(self.state().jobs.get(id).map(|job| job.row.clone()))
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        Ok(self.state().jobs.query(query))
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        Ok(self.state().jobs.due(now, limit))
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        Ok(self.state().jobs.next_wake())
    }

    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError> {
        Ok(self.state().jobs.open())
    }

    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError> {
        Ok(self.state().jobs.locks().clone().into_iter().collect())
    }

    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError> {
        Ok(self.state().jobs.get(job).map(|job| job.entries.clone()).unwrap_or_default())
    }

    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        Ok(self.state().jobs.get(job).map(Job::head))
    }

    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        let state = self.state();
        let entries = state.jobs.all().filter_map(|job| job.entries.last()).map(|sealed| sealed.entry.at);
        // The time of a message is from the clock of the chat network.
        let link = state.links.iter().rev().find(|link| link.kind != LinkKind::Message);
        Ok(entries.chain(link.map(|link| link.at)).max())
    }

    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().blob.get(digest).cloned())
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        let behind = usize::try_from(after).unwrap_or(usize::MAX);
        let most = usize::try_from(limit).unwrap_or(usize::MAX);
        Ok(self.state().links.iter().skip(behind).take(most).cloned().collect())
    }

    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError> {
        Ok(self.state().lines.get(&link).cloned().unwrap_or_default())
    }

    async fn database_fault(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn stray_row(&self) -> Result<Option<String>, StoreError> {
        Ok(None)
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        Ok(self.state().remove(before, loaded))
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        let mut releases: Vec<Release> = self.state().releases.iter().filter(|row| fits(query, row)).cloned().collect();
        // Of two releases with the same end time, the release that was stored later is newer. The sort is stable.
        releases.reverse();
        releases.sort_by_key(|release| std::cmp::Reverse(release.ended));
        if query.latest {
            let mut seen = HashSet::new();
            releases.retain(|release| seen.insert((release.app.clone(), release.environment.clone())));
        }
        releases.truncate(query.limit.map_or(usize::MAX, |limit| usize::try_from(limit).unwrap_or(usize::MAX)));
        Ok(releases)
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        Ok(self.state().grants.clone())
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        Ok(self.state().freezes.values().cloned().collect())
    }

    async fn identity_links(&self) -> Result<Vec<IdentityLink>, StoreError> {
        Ok(self.state().identity_links.values().cloned().collect())
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        Ok(self.state().values.get(plugin).and_then(|values| values.get(key)).cloned())
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        let state = self.state();
        let Some(values) = state.values.get(plugin) else { return Ok(Vec::new()) };
        Ok(values
            .range::<str, _>((Bound::Included(prefix), Bound::Unbounded))
            .take_while(|(key, _)| key.starts_with(prefix))
            .take(usize::try_from(limit).unwrap_or(usize::MAX))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect())
    }

    async fn values_size(&self, plugin: &str) -> Result<(u64, u64), StoreError> {
        let state = self.state();
        let values = state.values.get(plugin).into_iter().flatten();
        Ok(values.fold((0, 0), |(count, bytes), (key, value)| (count + 1, bytes + (key.len() + value.len()) as u64)))
    }

    async fn usage(&self) -> Result<Vec<(String, CallCount)>, StoreError> {
        let state = self.state();
        let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        for entry in state.jobs.all().flat_map(|job| &job.entries).map(|sealed| &sealed.entry) {
            let (allowed, refused) = match entry.kind {
                EntryKind::Call | EntryKind::Intent | EntryKind::Wait => (1, 0),
                EntryKind::Denied => (0, 1),
                _ => continue,
            };
            let count = counts.entry((&entry.plugin, &entry.call)).or_default();
            *count = (count.0 + allowed, count.1 + refused);
        }
        for line in state.lines.values().flatten() {
            let Some(plugin) = &line.plugin else { continue };
            for call in &line.calls {
                let count = counts.entry((plugin, &call.call)).or_default();
                *count = (count.0 + call.allowed, count.1 + call.refused);
            }
        }
        let usage = counts.into_iter().map(|((plugin, call), (allowed, refused))| {
            (plugin.to_owned(), CallCount { call: call.to_owned(), allowed, refused })
        });
        Ok(usage.collect())
    }
}

fn fits(query: &ReleaseQuery, release: &Release) -> bool {
    query.app.as_ref().is_none_or(|app| *app == release.app)
        && query.environment.as_ref().is_none_or(|environment| *environment == release.environment)
        && query.version.as_ref().is_none_or(|version| *version == release.version)
        && query.outcome.is_none_or(|outcome| outcome == release.outcome)
}
