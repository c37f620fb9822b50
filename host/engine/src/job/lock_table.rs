//! Deployment locks and their queues.
//!
//! Invariant: one job holds a lock at a time, from its first effect there until it is closed. The lock is a row,
//! written in the transaction of that effect's intent, so a restart restores it.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::store::{DeploymentLock, JobRow};

/// The locks that are held or reserved, and the queue of each.
#[derive(Debug, Default)]
pub(crate) struct LockTable(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: HashMap<DeploymentLock, Holder>,
    queues: BTreeMap<DeploymentLock, BTreeSet<(Timestamp, String)>>,
}

/// The job that holds a lock, with the text that other jobs' messages quote.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    job: String,
    line: String,
    caller: String,
    // Whether the lock's row is stored. Before that the lock is only reserved for the job.
    stored: bool,
}

impl Holder {
    fn of(row: &JobRow, stored: bool) -> Self {
        Self { job: row.id.clone(), line: row.line.clone(), caller: row.caller.name.clone(), stored }
    }
}

/// The error of [`LockTable::take`]: another job holds the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Busy {
    /// The lock that is held.
    pub(crate) lock: DeploymentLock,
    /// Whether the requesting job holds another lock. Such a job must not queue.
    pub(crate) holds_another: bool,
    holder: Holder,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { job, line, caller, .. } = &self.holder;
        let caller = crate::base::clean(caller);
        match line.is_empty() {
            true => write!(f, "{} is reserved for job {job}, which is next in the queue", self.lock)?,
            false => write!(f, "{} is held by job {job} (`{line}`, by {caller})", self.lock)?,
        }
        if self.holds_another { Ok(()) } else { write!(f, "; with `--wait` the command queues for it") }
    }
}

impl LockTable {
    /// Reserves locks for a job, all or none. Returns the locks whose rows are to be written: those that are new to the
    /// job, and those that were only reserved for it.
    pub(crate) fn take(&self, locks: &[DeploymentLock], job: &JobRow) -> Result<Vec<DeploymentLock>, Box<Busy>> {
        if locks.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.lock();
        let others = locks
            .iter()
            .find_map(|lock| Some((lock, state.held.get(lock)?)).filter(|(_, holder)| holder.job != job.id));
        if let Some((lock, holder)) = others {
            let holds_another = state.held.values().any(|holder| holder.job == job.id && holder.stored);
            return Err(Box::new(Busy { lock: lock.clone(), holds_another, holder: holder.clone() }));
        }
        let not_stored = |lock: &&DeploymentLock| state.held.get(lock).is_none_or(|holder| !holder.stored);
        let new: Vec<DeploymentLock> = locks.iter().filter(not_stored).cloned().collect();
        for lock in &new {
            state.held.insert(lock.clone(), Holder::of(job, false));
        }
        Ok(new)
    }

    /// Marks locks as stored, after the transaction that wrote their rows.
    pub(crate) fn mark_stored(&self, locks: &[DeploymentLock]) {
        let mut state = self.lock();
        for lock in locks {
            if let Some(holder) = state.held.get_mut(lock) {
                holder.stored = true;
            }
        }
    }

    /// Releases the locks that are only reserved for a job. Returns the jobs that are next in their queues.
    pub(crate) fn release_reserved(&self, job: &str) -> Vec<String> {
        self.free(job, |holder| !holder.stored)
    }

    /// Restores a lock from its row after a restart.
    pub(crate) fn restore(&self, lock: DeploymentLock, job: &JobRow) {
        self.lock().held.insert(lock, Holder::of(job, true));
    }

    /// Queues a job for a lock, ordered by `since`, and returns its status text. If the lock is free it is reserved for
    /// the job instead, and `None` is returned.
    pub(crate) fn enqueue(&self, lock: &DeploymentLock, job: &JobRow, since: Timestamp) -> Option<String> {
        let mut state = self.lock();
        match state.held.get(lock) {
            Some(holder) if holder.job != job.id => {
                let of = if holder.line.is_empty() { String::new() } else { format!(" (`{}`)", holder.line) };
                let about = format!("queued for {lock}, held by job {}{of}", holder.job);
                state.queues.entry(lock.clone()).or_default().insert((since, job.id.clone()));
                Some(about)
            }
            Some(_) => None,
            None => {
                state.held.insert(lock.clone(), Holder::of(job, false));
                None
            }
        }
    }

    /// Releases all locks of a job and removes it from all queues. Returns the jobs that are next: each lock is
    /// reserved for its next job until that job has tried to take it.
    pub(crate) fn release(&self, job: &str) -> Vec<String> {
        self.leave_queues(job);
        self.free(job, |_| true)
    }

    fn free(&self, job: &str, which: impl Fn(&Holder) -> bool) -> Vec<String> {
        let mut state = self.lock();
        let held = state.held.iter().filter(|(_, holder)| holder.job == job && which(holder));
        let free: Vec<DeploymentLock> = held.map(|(lock, _)| lock.clone()).collect();
        let mut next = Vec::new();
        for lock in free {
            state.held.remove(&lock);
            let Some((_, id)) = state.queues.get_mut(&lock).and_then(BTreeSet::pop_first) else { continue };
            // Reserved by id alone. The job takes the lock itself, and writes its row, when it runs.
            let holder = Holder { job: id.clone(), line: String::new(), caller: String::new(), stored: false };
            state.held.insert(lock, holder);
            next.push(id);
        }
        next
    }

    /// Removes a job from every queue.
    pub(crate) fn leave_queues(&self, job: &str) {
        self.lock().queues.retain(|_, line| {
            line.retain(|(_, id)| id != job);
            !line.is_empty()
        });
    }

    /// The locks that a job holds, sorted.
    pub(crate) fn held_by(&self, job: &str) -> Vec<DeploymentLock> {
        let state = self.lock();
        let held = state.held.iter().filter(|(_, holder)| holder.job == job && holder.stored);
        let mut locks: Vec<DeploymentLock> = held.map(|(lock, _)| lock.clone()).collect();
        locks.sort();
        locks
    }

    /// Whether a job holds a lock in an environment.
    pub(crate) fn is_held_in(&self, job: &str, environment: &str) -> bool {
        let state = self.lock();
        let here = |(lock, holder): (&DeploymentLock, &Holder)| {
            lock.environment == environment && holder.job == job && holder.stored
        };
        state.held.iter().any(here)
    }

    /// The jobs that hold a lock in an environment, by id, with their command lines.
    pub(crate) fn holders_in(&self, environment: &str) -> BTreeMap<String, String> {
        let state = self.lock();
        let held = state.held.iter().filter(|(lock, holder)| lock.environment == environment && holder.stored);
        held.map(|(_, holder)| (holder.job.clone(), holder.line.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
