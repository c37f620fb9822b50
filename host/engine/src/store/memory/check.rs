//! Checks that a list of writes is valid, each write after the ones before it.
//!
//! Not here: the changes themselves (`state`). All stores reject the same lists with the same messages.

use std::collections::HashMap;

use super::state::State;
use crate::store::{
    jobs::DeploymentLock,
    traits::{StoreError, Write},
};

/// A job's state after the writes that were checked so far.
struct Look {
    open: bool,
    entries: u32,
    new: bool,
}

/// The state after the writes that were checked so far, as far as later writes depend on it.
struct Checked<'w> {
    state: &'w State,
    jobs: HashMap<&'w str, Look>,
    locks: HashMap<&'w DeploymentLock, &'w str>,
}

/// Checks a list of writes.
///
/// # Errors
/// The first write that is not valid.
pub(crate) fn check(state: &State, writes: &[Write]) -> Result<(), StoreError> {
    let mut checked = Checked { state, jobs: HashMap::new(), locks: HashMap::new() };
    for write in writes {
        checked.write(write).map_err(StoreError::Failed)?;
    }
    match checked.jobs.iter().find(|(_, look)| look.new && look.entries == 0) {
        Some((job, _)) => {
            Err(StoreError::Failed(format!("job `{job}` has no entry 0 in the transaction that opens it")))
        }
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
                self.jobs.insert(&row.id, Look { open: true, entries: 0, new: true });
            }
            Write::JobStatus { job, .. } => drop(self.open(job)?),
            Write::Lock { lock, job } => {
                self.open(job)?;
                match self.holder(lock) {
                    Some(holder) if holder != *job => {
                        return Err(format!("the deployment lock `{lock}` is held by job `{holder}`"));
                    }
                    _ => drop(self.locks.insert(lock, job)),
                }
            }
            Write::Append(entry) => {
                let (job, number) = (&entry.job, entry.number);
                if self.job(job).is_none() {
                    return Err(format!("there is no job `{job}`"));
                }
                let look = self.open(job)?;
                if number < look.entries {
                    return Err(format!("entry {number} of job `{job}` already exists"));
                }
                if number > look.entries {
                    return Err(format!(
                        "entry {number} of job `{job}` is out of order: the next number is {}",
                        look.entries
                    ));
                }
                look.entries += 1;
            }
            Write::Close { job, .. } => self.open(job)?.open = false,
            _ => {}
        }
        Ok(())
    }

    fn job(&mut self, id: &'w str) -> Option<&mut Look> {
        if !self.jobs.contains_key(id) {
            let job = self.state.jobs.get(id)?;
            let look = Look { open: job.row.end.is_none(), entries: job.head().0, new: false };
            self.jobs.insert(id, look);
        }
        self.jobs.get_mut(id)
    }

    fn open(&mut self, id: &'w str) -> Result<&mut Look, String> {
        self.job(id).filter(|look| look.open).ok_or_else(|| format!("job `{id}` is not open"))
    }

    /// The job that holds a lock. A closed job holds none.
    fn holder(&self, lock: &DeploymentLock) -> Option<&str> {
        let taken = self.locks.get(lock).copied();
        let open = |holder: &&str| self.jobs.get(holder).is_none_or(|look| look.open);
        let held = || self.state.jobs.locks().get(lock).map(String::as_str);
        taken.filter(open).or_else(|| held().filter(open))
    }
}
