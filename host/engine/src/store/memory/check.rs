//! Whether a list of writes can be made, each after the ones before it.
//!
//! Not here: what they change (`state`). Every store refuses the same lists in the same words.

use std::collections::HashMap;

use super::state::State;
use crate::store::{
    jobs::DeploymentLock,
    traits::{StoreError, Write},
};

/// What a list makes of a job.
struct Look {
    open: bool,
    entries: u32,
    new: bool,
}

/// What a list changes of what later writes of it depend on.
struct Seen<'w> {
    state: &'w State,
    jobs: HashMap<&'w str, Look>,
    places: HashMap<&'w DeploymentLock, &'w str>,
}

/// # Errors
/// The first write that cannot be made.
pub(crate) fn check(state: &State, writes: &[Write]) -> Result<(), StoreError> {
    let mut seen = Seen { state, jobs: HashMap::new(), places: HashMap::new() };
    for write in writes {
        seen.write(write).map_err(StoreError::Failed)?;
    }
    match seen.jobs.iter().find(|(_, look)| look.new && look.entries == 0) {
        Some((job, _)) => Err(StoreError::Failed(format!("job `{job}` was opened without its first entry"))),
        None => Ok(()),
    }
}

impl<'w> Seen<'w> {
    fn write(&mut self, write: &'w Write) -> Result<(), String> {
        match write {
            Write::Open(row) => {
                if row.end.is_some() || self.job(&row.id).is_some() || self.state.opened.contains(&row.id) {
                    return Err(format!("job `{}` was opened before", row.id));
                }
                self.jobs.insert(&row.id, Look { open: true, entries: 0, new: true });
            }
            Write::JobStatus { job, .. } => drop(self.open(job)?),
            Write::Take { place, job } => {
                self.open(job)?;
                match self.holder(place) {
                    Some(holder) if holder != *job => {
                        return Err(format!("the place `{place}` is held by job `{holder}`"));
                    }
                    _ => drop(self.places.insert(place, job)),
                }
            }
            Write::Enter(entry) => {
                let (job, number) = (&entry.job, entry.number);
                if self.job(job).is_none() {
                    return Err(format!("there is no job `{job}`"));
                }
                let look = self.open(job)?;
                if number < look.entries {
                    return Err(format!("entry {number} of job `{job}` was written before"));
                }
                if number > look.entries {
                    return Err(format!("entry {number} of job `{job}` is not the next one, {} is", look.entries));
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
            let look = Look { open: job.row.end.is_none(), entries: job.tip().0, new: false };
            self.jobs.insert(id, look);
        }
        self.jobs.get_mut(id)
    }

    fn open(&mut self, id: &'w str) -> Result<&mut Look, String> {
        self.job(id).filter(|look| look.open).ok_or_else(|| format!("job `{id}` is not open"))
    }

    /// Who holds a place. Who was closed holds none.
    fn holder(&self, place: &DeploymentLock) -> Option<&str> {
        let taken = self.places.get(place).copied();
        let open = |holder: &&str| self.jobs.get(holder).is_none_or(|look| look.open);
        let held = || self.state.jobs.places().get(place).map(String::as_str);
        taken.filter(open).or_else(|| held().filter(open))
    }
}
