//! Checks a list of changes before the in-memory store applies it. Each change is checked against the state that the
//! earlier changes in the list produce.
//!
//! Invariant: every store rejects the same lists of changes with the same messages.
//! Not here: the functions that apply the changes (`state.rs`).

use std::collections::HashMap;

use super::state::State;
use crate::store::{
    jobs::DeploymentLock,
    traits::{StoreError, Write},
};

/// The state that a job will have after the changes that have been checked so far.
struct JobState {
    open: bool,
    entries: u32,
    new: bool,
}

/// The jobs and deployment locks as they will be after the changes that have been checked so far. `state` is the
/// content of the store before these changes.
struct Checked<'w> {
    state: &'w State,
    jobs: HashMap<&'w str, JobState>,
    /// The holders of the locks that these changes acquire or release; `None` for a released lock.
    locks: HashMap<&'w DeploymentLock, Option<&'w str>>,
}

/// Checks a list of changes without applying it to the state.
///
/// # Errors
/// [`StoreError::Failed`] for the first invalid change.
pub(crate) fn check(state: &State, writes: &[Write]) -> Result<(), StoreError> {
    let mut checked = Checked { state, jobs: HashMap::new(), locks: HashMap::new() };
    for write in writes {
        checked.write(write).map_err(StoreError::Failed)?;
    }
    match checked.jobs.iter().find(|(_, job)| job.new && job.entries == 0) {
        Some((id, _)) => Err(StoreError::Failed(format!(
            "the transaction that opens job `{id}` does not append the first journal entry"
        ))),
        None => Ok(()),
    }
}

impl<'w> Checked<'w> {
    fn write(&mut self, write: &'w Write) -> Result<(), String> {
        match write {
            Write::Open(row) => {
                if row.end.is_some() || self.job(&row.id).is_some() || self.state.opened.contains(&row.id) {
                    return Err(format!("job `{}` already exists", row.id));
                }
                self.jobs.insert(&row.id, JobState { open: true, entries: 0, new: true });
            }
            Write::JobStatus { job, .. } => drop(self.open(job)?),
            Write::Lock { lock, job } => {
                self.open(job)?;
                match self.holder(lock) {
                    Some(holder) if holder != *job => {
                        return Err(format!("the deployment lock `{lock}` is held by job `{holder}`"));
                    }
                    _ => drop(self.locks.insert(lock, Some(job))),
                }
            }
            Write::Unlock { lock, job } => {
                self.open(job)?;
                if self.holder(lock) == Some(job) {
                    self.locks.insert(lock, None);
                }
            }
            Write::Append(entry) => {
                let (id, number) = (&entry.job, entry.number);
                if self.job(id).is_none() {
                    return Err(format!("there is no job `{id}`"));
                }
                let job = self.open(id)?;
                if number < job.entries {
                    return Err(format!("journal entry {number} of job `{id}` already exists"));
                }
                if number > job.entries {
                    return Err(format!(
                        "journal entry {number} of job `{id}` is out of order: the next number is {}",
                        job.entries
                    ));
                }
                job.entries += 1;
            }
            Write::Close { job, .. } => self.open(job)?.open = false,
            _ => {}
        }
        Ok(())
    }

    fn job(&mut self, id: &'w str) -> Option<&mut JobState> {
        if !self.jobs.contains_key(id) {
            let stored = self.state.jobs.get(id)?;
            let job = JobState { open: stored.row.end.is_none(), entries: stored.head().0, new: false };
            self.jobs.insert(id, job);
        }
        self.jobs.get_mut(id)
    }

    fn open(&mut self, id: &'w str) -> Result<&mut JobState, String> {
        self.job(id).filter(|job| job.open).ok_or_else(|| format!("job `{id}` is not open"))
    }

    /// Returns the id of the job that holds a deployment lock; `None` if no open job holds it.
    fn holder(&self, lock: &DeploymentLock) -> Option<&str> {
        let open = |holder: &&str| self.jobs.get(holder).is_none_or(|job| job.open);
        let stored = || self.state.jobs.locks().get(lock).map(String::as_str);
        self.locks.get(lock).copied().unwrap_or_else(stored).filter(open)
    }
}
