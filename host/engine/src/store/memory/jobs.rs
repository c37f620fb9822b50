//! The jobs of the in-memory store: rows, journals, deployment locks and indexes.
//!
//! Invariant: `open` contains the insertion numbers of exactly the open jobs, and `wakes` contains those of exactly the
//! open jobs with a wake time.
//! Not here: the hash chain (`state.rs`) and the validation of writes (`check.rs`).

use std::collections::{BTreeMap, BTreeSet, HashMap};

use jiff::Timestamp;

use crate::store::{
    jobs::{DeploymentLock, JobEnd, JobPhase, JobQuery, JobRow, JobStatus},
    journal::{Entry, HashedEntry},
};

#[derive(Debug)]
pub(crate) struct Job {
    pub(crate) row: JobRow,
    pub(crate) entries: Vec<HashedEntry>,
}

impl Job {
    /// Returns the number of the job's journal entries, and the hash of the last entry. The hash is empty if there are
    /// no entries.
    pub(crate) fn head(&self) -> (u32, String) {
        let hash = self.entries.last().map(|sealed| sealed.hash.clone()).unwrap_or_default();
        (u32::try_from(self.entries.len()).unwrap_or(u32::MAX), hash)
    }
}

/// All jobs of the in-memory store. The key of a job is its insertion number, so that the jobs are sorted by age. The
/// indexes contain these insertion numbers.
#[derive(Debug, Default)]
pub(crate) struct Jobs {
    inserted: u64,
    rows: BTreeMap<u64, Job>,
    ids: HashMap<String, u64>,
    open: BTreeSet<u64>,
    wakes: BTreeSet<(Timestamp, u64)>,
    locks: BTreeMap<DeploymentLock, String>,
}

impl Jobs {
    pub(crate) fn get(&self, id: &str) -> Option<&Job> {
        self.rows.get(self.ids.get(id)?)
    }

    pub(crate) fn all(&self) -> impl Iterator<Item = &Job> {
        self.rows.values()
    }

    pub(crate) fn locks(&self) -> &BTreeMap<DeploymentLock, String> {
        &self.locks
    }

    pub(crate) fn add(&mut self, row: JobRow) {
        self.inserted += 1;
        self.ids.insert(row.id.clone(), self.inserted);
        self.open.insert(self.inserted);
        self.wakes.extend(row.status.wake.map(|wake| (wake, self.inserted)));
        self.rows.insert(self.inserted, Job { row, entries: Vec::new() });
    }

    pub(crate) fn set_status(&mut self, id: &str, status: JobStatus) {
        let Some((at, job)) = self.find(id) else { return };
        let old = std::mem::replace(&mut job.row.status, status);
        let new = job.row.status.wake;
        if let Some(wake) = old.wake {
            self.wakes.remove(&(wake, at));
        }
        self.wakes.extend(new.map(|wake| (wake, at)));
    }

    pub(crate) fn lock(&mut self, lock: DeploymentLock, job: String) {
        self.locks.insert(lock, job);
    }

    pub(crate) fn unlock(&mut self, lock: &DeploymentLock, job: &str) {
        if self.locks.get(lock).is_some_and(|holder| holder == job) {
            self.locks.remove(lock);
        }
    }

    /// Appends an entry to the journal of the entry's job. Returns the hash of the entry.
    pub(crate) fn append(&mut self, entry: Entry) -> String {
        let Some((_, job)) = self.find(&entry.job) else { return String::new() };
        let hash = entry.hash(&job.head().1);
        job.entries.push(HashedEntry { entry, hash: hash.clone() });
        hash
    }

    /// Closes the job with this id. Returns the hash of the job's last entry.
    pub(crate) fn close(&mut self, id: &str, end: JobEnd) -> String {
        let Some((at, job)) = self.find(id) else { return String::new() };
        job.row.end = Some(end);
        let (wake, hash) = (job.row.status.wake, job.head().1);
        if let Some(wake) = wake {
            self.wakes.remove(&(wake, at));
        }
        self.open.remove(&at);
        self.locks.retain(|_, holder| holder != id);
        hash
    }

    pub(crate) fn remove(&mut self, id: &str) -> Option<Job> {
        self.rows.remove(&self.ids.remove(id)?)
    }

    /// Returns the jobs that match a query, the newest first.
    pub(crate) fn query(&self, query: &JobQuery) -> Vec<JobRow> {
        let most = query.limit.and_then(|limit| usize::try_from(limit).ok()).unwrap_or(usize::MAX);
        let rows: Box<dyn Iterator<Item = &Job>> = match query.open {
            Some(true) => Box::new(self.open.iter().rev().filter_map(|at| self.rows.get(at))),
            _ => Box::new(self.rows.values().rev()),
        };
        rows.map(|job| &job.row).filter(|row| fits(query, row)).take(most).cloned().collect()
    }

    /// Returns the open jobs whose wake time is at or before `now`, the earliest first, at most `most` jobs.
    pub(crate) fn due(&self, now: Timestamp, most: u32) -> Vec<JobRow> {
        let due = self.wakes.iter().take_while(|(wake, _)| *wake <= now);
        let rows = due.filter_map(|(_, at)| self.rows.get(at)).map(|job| job.row.clone());
        rows.take(usize::try_from(most).unwrap_or(usize::MAX)).collect()
    }

    pub(crate) fn next_wake(&self) -> Option<Timestamp> {
        self.wakes.first().map(|(wake, _)| *wake)
    }

    /// Returns the number of open jobs in each phase. Leaves out the phases without open jobs.
    pub(crate) fn open(&self) -> Vec<(JobPhase, u64)> {
        let phases: Vec<JobPhase> =
            self.open.iter().filter_map(|at| Some(self.rows.get(at)?.row.status.phase)).collect();
        let count = |phase| phases.iter().filter(|other| **other == phase).count() as u64;
        JobPhase::ALL.into_iter().map(|phase| (phase, count(phase))).filter(|(_, count)| *count > 0).collect()
    }

    fn find(&mut self, id: &str) -> Option<(u64, &mut Job)> {
        let at = *self.ids.get(id)?;
        Some((at, self.rows.get_mut(&at)?))
    }
}

fn fits(query: &JobQuery, row: &JobRow) -> bool {
    let thread = |(network, room, root): &(String, String, String)| {
        row.inbox.network == *network && row.inbox.room == *room && row.thread.as_ref() == Some(root)
    };
    query.open.is_none_or(|open| open == row.end.is_none())
        && (!query.overrides || row.overrides.is_some())
        && query.phases.as_ref().is_none_or(|phases| phases.contains(&row.status.phase))
        && query.plugin.as_ref().is_none_or(|plugin| *plugin == row.plugin)
        && query.caller.as_ref().is_none_or(|caller| *caller == row.caller.id)
        && query.thread.as_ref().is_none_or(thread)
        && query.inbox.as_ref().is_none_or(|inbox| *inbox == row.inbox)
}
