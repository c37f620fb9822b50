//! Deployment locks, and the queues of jobs that wait for them.
//!
//! Invariant: at most one job holds the lock of an app and environment. The job holds the lock from its first effect on
//! this app and environment until the job is closed. The transaction that stores the effect's intent (the journal entry
//! that says that the effect is about to happen) also stores the lock's row, so the host restores the lock after a
//! restart. If the effect fails and no earlier effect of the job changed this app and environment, the transaction that
//! stores the failure removes the row. After a crash, the row stays until the job performs the effect again.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::store::{DeploymentLock, JobRow};

/// The deployment locks that are held or reserved, each with its queue of jobs.
#[derive(Debug, Default)]
pub(crate) struct LockTable(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: HashMap<DeploymentLock, Holder>,
    queues: BTreeMap<DeploymentLock, BTreeSet<(Timestamp, String)>>,
}

/// The job that holds or has reserved a lock, with the texts for messages about the lock.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    job: String,
    line: String,
    caller: String,
    // Whether the lock's row is stored. Until the row is stored, the lock is only reserved for the job.
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
    /// The lock that another job holds.
    pub(crate) lock: DeploymentLock,
    /// Whether the requesting job already holds a different lock. Such a job must not queue for a second lock: two jobs
    /// that each hold a lock could wait for each other forever.
    pub(crate) holds_another: bool,
    holder: Holder,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { job, line, caller, .. } = &self.holder;
        let caller = crate::base::clean(caller);
        match line.is_empty() {
            true => write!(f, "the deployment lock of {} is reserved for job {job}, the next in the queue", self.lock)?,
            false => write!(f, "the deployment lock of {} is held by job {job} (`{line}`, by {caller})", self.lock)?,
        }
        if self.holds_another { Ok(()) } else { write!(f, "; add `--wait` to queue the command") }
    }
}

impl LockTable {
    /// Reserves all of these locks for a job. Returns the locks whose rows are not stored yet; the caller stores these
    /// rows. If one of the locks is held by or reserved for another job, reserves no lock and returns [`Busy`].
    pub(crate) fn take(&self, locks: &[DeploymentLock], job: &JobRow) -> Result<Vec<DeploymentLock>, Box<Busy>> {
        let mut state = self.0.lock();
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

    /// Marks locks as stored. The caller has committed the transaction that stores the rows of the locks.
    pub(crate) fn mark_stored(&self, locks: &[DeploymentLock]) {
        let mut state = self.0.lock();
        for lock in locks {
            if let Some(holder) = state.held.get_mut(lock) {
                holder.stored = true;
            }
        }
    }

    /// Marks locks of a job as only reserved. The caller has committed the transaction that removes the rows of the
    /// locks. [`Self::release_reserved`] releases the locks when the job's guest ends.
    pub(crate) fn mark_reserved(&self, locks: &[DeploymentLock], job: &str) {
        let mut state = self.0.lock();
        for lock in locks {
            if let Some(holder) = state.held.get_mut(lock).filter(|holder| holder.job == job) {
                holder.stored = false;
            }
        }
    }

    /// Releases the locks that are only reserved for a job. Reserves each released lock for the next job in its queue.
    /// Returns the ids of these next jobs.
    pub(crate) fn release_reserved(&self, job: &str) -> Vec<String> {
        self.free(job, |holder| !holder.stored)
    }

    /// Restores a lock from its row after a restart.
    pub(crate) fn restore(&self, lock: DeploymentLock, job: &JobRow) {
        self.0.lock().held.insert(lock, Holder::of(job, true));
    }

    /// Requests a lock for a job. If another job holds or has reserved the lock, adds the job to the lock's queue and
    /// returns the job's status text. The queue is ordered by `since`. If the lock is free, reserves the lock and
    /// returns `None`. If the job already has the lock, returns `None`.
    pub(crate) fn enqueue(&self, lock: &DeploymentLock, job: &JobRow, since: Timestamp) -> Option<String> {
        let mut state = self.0.lock();
        let holder = state.held.entry(lock.clone()).or_insert_with(|| Holder::of(job, false));
        if holder.job == job.id {
            return None;
        }
        let of = if holder.line.is_empty() { String::new() } else { format!(" (`{}`)", holder.line) };
        let about = format!("queued for the deployment lock of {lock}, held by job {}{of}", holder.job);
        state.queues.entry(lock.clone()).or_default().insert((since, job.id.clone()));
        Some(about)
    }

    /// Releases all locks of a job, and removes the job from all queues. Reserves each released lock for the next job
    /// in its queue. Returns the ids of these next jobs.
    pub(crate) fn release(&self, job: &str) -> Vec<String> {
        self.leave_queues(job);
        self.free(job, |_| true)
    }

    fn free(&self, job: &str, which: impl Fn(&Holder) -> bool) -> Vec<String> {
        let mut state = self.0.lock();
        let free = state.held.extract_if(|_, holder| holder.job == job && which(holder));
        let free: Vec<DeploymentLock> = free.map(|(lock, _)| lock).collect();
        let mut next = Vec::new();
        for lock in free {
            let Some((_, id)) = state.queues.get_mut(&lock).and_then(BTreeSet::pop_first) else { continue };
            // Of the next job, only the id is available here. When the next job runs, it takes the lock and stores the
            // lock's row.
            let holder = Holder { job: id.clone(), line: String::new(), caller: String::new(), stored: false };
            state.held.insert(lock, holder);
            next.push(id);
        }
        next
    }

    /// Removes a job from every queue.
    pub(crate) fn leave_queues(&self, job: &str) {
        self.0.lock().queues.retain(|_, queue| {
            queue.retain(|(_, id)| id != job);
            !queue.is_empty()
        });
    }

    /// Returns the locks that a job holds, sorted by app and environment. Leaves out locks that are only reserved for
    /// the job.
    pub(crate) fn held_by(&self, job: &str) -> Vec<DeploymentLock> {
        let state = self.0.lock();
        let held = state.held.iter().filter(|(_, holder)| holder.job == job && holder.stored);
        let mut locks: Vec<DeploymentLock> = held.map(|(lock, _)| lock.clone()).collect();
        locks.sort();
        locks
    }

    /// Returns the jobs that hold a lock in an environment: their command lines, by job id.
    pub(crate) fn holders_in(&self, environment: &str) -> BTreeMap<String, String> {
        let state = self.0.lock();
        let held = state.held.iter().filter(|(lock, holder)| lock.environment == environment && holder.stored);
        held.map(|(_, holder)| (holder.job.clone(), holder.line.clone())).collect()
    }
}
