//! The database in memory: the rules of [`Store`] without a disk.
//!
//! Architecture Invariant: a list of writes is checked as a whole before the first of them is made, and
//! making them cannot fail, so that a bad list changes nothing.
//! Not here: durability. What is in it ends with the process.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    ops::Bound,
    sync::{Mutex, MutexGuard, PoisonError},
};

use async_trait::async_trait;

use crate::port::{
    RunKey,
    store::{
        CallCount, Entry, EntryKind, InboxKey, InboxRow, JobRow, Line, Mark, OutboxRow, PendingRow, Purpose, Release,
        ReleaseQuery, Store, StoreError, Usage, Write,
    },
};

/// A [`Store`] that keeps everything in memory.
///
/// A commit waits for nothing, and a note only joins a queue that the next commit or read makes part of the rest.
#[derive(Debug, Default)]
pub struct MemoryStore {
    // Apart from the rest, so that a note waits for no reader.
    notes: Mutex<Vec<Vec<Write>>>,
    state: Mutex<State>,
}

impl MemoryStore {
    /// An empty one.
    pub fn new() -> Self {
        Self::default()
    }

    /// All jobs, open and over, oldest first.
    pub fn jobs(&self) -> Vec<JobRow> {
        self.state().jobs.clone()
    }

    /// All lines that queries and refusals left, oldest first.
    pub fn all_lines(&self) -> Vec<Line> {
        self.state().lines.clone()
    }

    /// The state with all notes in it.
    fn state(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken under the state's lock: notes cannot be overtaken by a commit that began after them.
        let notes = std::mem::take(&mut *self.notes.lock().unwrap_or_else(PoisonError::into_inner));
        for note in notes {
            if let Err(error) = state.commit(note) {
                tracing::error!(%error, "a note was not kept");
            }
        }
        state
    }
}

#[async_trait]
impl Store for MemoryStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        self.state().commit(writes)
    }

    fn note(&self, writes: Vec<Write>) {
        self.notes.lock().unwrap_or_else(PoisonError::into_inner).push(writes);
    }

    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        let state = self.state();
        Ok(state.waiting.iter().map(|at| state.inbox[*at].clone()).collect())
    }

    async fn mark(&self, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        Ok(self.state().marks.get(&(network.to_owned(), room.to_owned())).cloned())
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        let state = self.state();
        Ok(state.unsent.iter().map(|at| state.outbox[*at].pending.clone()).collect())
    }

    async fn job(&self, _id: &str) -> Result<Option<JobRow>, StoreError> {
        todo!()
    }
    async fn jobs(&self, _query: &crate::port::store::JobQuery) -> Result<Vec<JobRow>, StoreError> {
        let state = self.state();
        Ok(state.open.iter().map(|at| state.jobs[*at].clone()).collect())
    }
    async fn due(&self, _now: jiff::Timestamp, _limit: u32) -> Result<Vec<JobRow>, StoreError> {
        todo!()
    }
    async fn next_wake(&self) -> Result<Option<jiff::Timestamp>, StoreError> {
        todo!()
    }
    async fn places(&self) -> Result<Vec<(crate::port::store::Place, String)>, StoreError> {
        todo!()
    }
    async fn entries(&self, _job: &str) -> Result<Vec<crate::port::store::Sealed>, StoreError> {
        todo!()
    }
    async fn tip(&self, _job: &str) -> Result<Option<(u32, String)>, StoreError> {
        todo!()
    }
    async fn newest(&self) -> Result<Option<jiff::Timestamp>, StoreError> {
        todo!()
    }
    async fn beside(&self, _digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        todo!()
    }
    async fn links(&self, _after: u64, _limit: u32) -> Result<Vec<crate::port::store::Link>, StoreError> {
        todo!()
    }
    async fn lines(&self, _link: u64) -> Result<Vec<Line>, StoreError> {
        todo!()
    }
    async fn remove(&self, _before: jiff::Timestamp, _loaded: &[String]) -> Result<crate::port::store::Removed, StoreError> {
        todo!()
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        let mut releases: Vec<Release> = self.state().releases.iter().filter(|row| fits(query, row)).cloned().collect();
        // Of those that ended at one moment the later one is the newer one; the sort is stable.
        releases.reverse();
        releases.sort_by_key(|release| std::cmp::Reverse(release.ended));
        if query.latest {
            let mut seen = HashSet::new();
            releases.retain(|release| seen.insert((release.app.clone(), release.environment.clone())));
        }
        Ok(releases)
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

    async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        let state = self.state();
        let mut counts: BTreeMap<(&str, &str), (u64, u64)> = BTreeMap::new();
        for entry in state.entries.values().flat_map(BTreeMap::values) {
            let (allowed, refused) = match entry.kind {
                EntryKind::Call | EntryKind::Intent => (1, 0),
                EntryKind::Denied => (0, 1),
                _ => continue,
            };
            let count = counts.entry((&entry.plugin, &entry.call)).or_default();
            *count = (count.0 + allowed, count.1 + refused);
        }
        for line in &state.lines {
            let Some(plugin) = &line.plugin else { continue };
            for call in &line.calls {
                let count = counts.entry((plugin, &call.call)).or_default();
                *count = (count.0 + call.allowed, count.1 + call.refused);
            }
        }
        let usage = counts.into_iter().map(|((plugin, call), (allowed, refused))| Usage {
            plugin: plugin.to_owned(),
            count: CallCount { call: call.to_owned(), allowed, refused },
        });
        Ok(usage.collect())
    }
}

fn fits(query: &ReleaseQuery, release: &Release) -> bool {
    query.app.as_ref().is_none_or(|app| *app == release.app)
        && query.environment.as_ref().is_none_or(|environment| *environment == release.environment)
        && query.outcome.is_none_or(|outcome| outcome == release.outcome)
}

/// The tables. Rows stand in the order in which they came; the sets hold the places of those that are asked for.
#[derive(Debug, Default)]
struct State {
    inbox: Vec<InboxRow>,
    inbox_keys: HashMap<InboxKey, usize>,
    waiting: BTreeSet<usize>,
    marks: HashMap<(String, String), Mark>,
    outbox: Vec<Slot>,
    outbox_keys: HashMap<String, usize>,
    unsent: BTreeSet<usize>,
    jobs: Vec<JobRow>,
    job_ids: HashMap<String, usize>,
    open: BTreeSet<usize>,
    entries: HashMap<String, BTreeMap<u32, Entry>>,
    lines: Vec<Line>,
    releases: Vec<Release>,
    runs: HashSet<RunKey>,
    values: HashMap<String, BTreeMap<String, Vec<u8>>>,
}

/// A row of the outbox.
#[derive(Debug)]
struct Slot {
    pending: PendingRow,
    sent: u64,
    given_up: bool,
}

impl State {
    fn commit(&mut self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        self.check(&writes)?;
        let mut new = Vec::new();
        for write in writes {
            self.make(write, &mut new);
        }
        Ok(new)
    }

    /// Whether all of these can be made, each after the ones before it.
    fn check(&self, writes: &[Write]) -> Result<(), StoreError> {
        let mut opened: HashMap<&str, bool> = HashMap::new();
        let mut entered = HashSet::new();
        for write in writes {
            match write {
                Write::Open(job) => {
                    let known = self.job_ids.contains_key(&job.id);
                    if known || opened.insert(&job.id, job.end.is_none()).is_some() {
                        return Err(StoreError::Failed(format!("job `{}` was opened before", job.id)));
                    }
                }
                Write::Close { job, .. } => {
                    let open = opened.get(job.as_str()).copied().unwrap_or_else(|| self.is_open(job));
                    if !open {
                        return Err(StoreError::Failed(format!("job `{job}` is not open")));
                    }
                    opened.insert(job, false);
                }
                Write::Enter(entry) => {
                    let job = entry.job.as_str();
                    if !self.job_ids.contains_key(job) && !opened.contains_key(job) {
                        return Err(StoreError::Failed(format!("there is no job `{job}`")));
                    }
                    let known = self.entries.get(job).is_some_and(|entries| entries.contains_key(&entry.number));
                    if known || !entered.insert((job, entry.number)) {
                        let number = entry.number;
                        return Err(StoreError::Failed(format!("entry {number} of job `{job}` was written before")));
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn is_open(&self, job: &str) -> bool {
        self.job_ids.get(job).is_some_and(|at| self.open.contains(at))
    }

    fn make(&mut self, write: Write, new: &mut Vec<InboxKey>) {
        match write {
            Write::Receive(row) => {
                if !self.inbox_keys.contains_key(&row.key) {
                    new.push(row.key.clone());
                    self.inbox_keys.insert(row.key.clone(), self.inbox.len());
                    self.waiting.insert(self.inbox.len());
                    self.inbox.push(row);
                }
            }
            Write::Done(key) => {
                if let Some(at) = self.inbox_keys.get(&key) {
                    self.waiting.remove(at);
                }
            }
            Write::Mark(mark) => {
                let key = (mark.network.clone(), mark.room.clone());
                if self.marks.get(&key).is_none_or(|old| old.at <= mark.at) {
                    self.marks.insert(key, mark);
                }
            }
            Write::Say(row) => self.say(row),
            Write::Sent { key, version, event } => self.sent(&key, version, event),
            Write::Open(job) => {
                let at = self.jobs.len();
                self.job_ids.insert(job.id.clone(), at);
                if job.end.is_none() {
                    self.open.insert(at);
                }
                self.jobs.push(job);
            }
            Write::Close { job, end } => {
                if let Some(at) = self.job_ids.get(&job) {
                    self.open.remove(at);
                    self.jobs[*at].end = Some(end);
                }
            }
            Write::Enter(entry) => {
                self.entries.entry(entry.job.clone()).or_default().insert(entry.number, entry);
            }
            Write::Line(line) => self.lines.push(line),
            Write::Stand { .. } | Write::Take { .. } | Write::Keep { .. } => todo!(),
            Write::Release(release) => {
                if self.runs.insert(release.run.clone()) {
                    self.releases.push(release);
                }
            }
            Write::Set { plugin, key, value } => {
                self.values.entry(plugin).or_default().insert(key, value);
            }
            Write::Delete { plugin, key } => {
                if let Some(values) = self.values.get_mut(&plugin) {
                    values.remove(&key);
                }
            }
        }
    }

    fn say(&mut self, row: OutboxRow) {
        let Some(at) = self.outbox_keys.get(&row.key).copied() else {
            let at = self.outbox.len();
            self.outbox_keys.insert(row.key.clone(), at);
            self.unsent.insert(at);
            self.outbox.push(Slot { pending: PendingRow { row, event: None, version: 1 }, sent: 0, given_up: false });
            return;
        };
        let Slot { pending, given_up, .. } = &mut self.outbox[at];
        if let (Purpose::Card { .. }, Purpose::Card { .. }) = (&pending.row.purpose, &row.purpose) {
            // The place stays: what was sent cannot be moved to another room or thread.
            pending.row.purpose = row.purpose;
            pending.row.text = row.text;
            pending.version += 1;
            if !*given_up {
                self.unsent.insert(at);
            }
        }
    }

    fn sent(&mut self, key: &str, version: u64, event: Option<String>) {
        let Some(at) = self.outbox_keys.get(key) else { return };
        let slot = &mut self.outbox[*at];
        slot.sent = slot.sent.max(version.min(slot.pending.version));
        slot.given_up |= event.is_none();
        slot.pending.event = slot.pending.event.take().or(event);
        if slot.given_up || slot.sent == slot.pending.version {
            self.unsent.remove(at);
        }
    }
}
