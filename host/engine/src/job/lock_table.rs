//! Who holds which place, and who stands in line for one.
//!
//! Invariant: one job holds a place at a time, from its first effect there to its closing line. Each holding is a row too,
//! in the same transaction as the intent of that effect, so that a restart knows it.
//! Invariant: a job stands in line only while it holds nothing, so no two jobs wait for each other.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use crate::store::{DeploymentLock, JobRow};

/// The places that are held, and the lines in front of them.
#[derive(Debug, Default)]
pub(crate) struct LockTable(Mutex<State>);

#[derive(Debug, Default)]
struct State {
    held: HashMap<DeploymentLock, Holder>,
    lines: BTreeMap<DeploymentLock, BTreeSet<(Timestamp, String)>>,
}

/// A job that holds a place, in the words that others need of it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Holder {
    job: String,
    line: String,
    caller: String,
    // Whether it is written down. Before that a place is kept for a job that has not acted there yet.
    written: bool,
}

impl Holder {
    fn of(row: &JobRow, written: bool) -> Self {
        Self { job: row.id.clone(), line: row.line.clone(), caller: row.caller.name.clone(), written }
    }
}

/// Another job holds a place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Busy {
    /// Which place.
    pub(crate) place: DeploymentLock,
    /// Whether the job that wants it holds another one, and so must not stand in line.
    pub(crate) holds_another: bool,
    holder: Holder,
}

impl fmt::Display for Busy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Holder { job, line, caller, .. } = &self.holder;
        let caller = crate::base::clean(caller);
        match line.is_empty() {
            true => write!(f, "{} is kept for job {job}, whose turn it is", self.place)?,
            false => write!(f, "{} is held by job {job} (`{line}`, by {caller})", self.place)?,
        }
        if self.holds_another { Ok(()) } else { write!(f, "; `--wait` stands in line for it") }
    }
}

impl LockTable {
    /// Takes places for a job, all or none. Gives those that are to be written down: what it did not hold yet, and what
    /// was only kept for it.
    pub(crate) fn take(&self, places: &[DeploymentLock], job: &JobRow) -> Result<Vec<DeploymentLock>, Box<Busy>> {
        if places.is_empty() {
            return Ok(Vec::new());
        }
        let mut state = self.lock();
        let others = places
            .iter()
            .find_map(|place| Some((place, state.held.get(place)?)).filter(|(_, holder)| holder.job != job.id));
        if let Some((place, holder)) = others {
            let holds_another = state.held.values().any(|holder| holder.job == job.id && holder.written);
            return Err(Box::new(Busy { place: place.clone(), holds_another, holder: holder.clone() }));
        }
        let unwritten = |place: &&DeploymentLock| state.held.get(place).is_none_or(|holder| !holder.written);
        let new: Vec<DeploymentLock> = places.iter().filter(unwritten).cloned().collect();
        for place in &new {
            state.held.insert(place.clone(), Holder::of(job, false));
        }
        Ok(new)
    }

    /// What was taken is written down.
    pub(crate) fn wrote(&self, places: &[DeploymentLock]) {
        let mut state = self.lock();
        for place in places {
            if let Some(holder) = state.held.get_mut(place) {
                holder.written = true;
            }
        }
    }

    /// A job lets go of what is only kept for it. Gives the jobs that are next.
    pub(crate) fn release_held(&self, job: &str) -> Vec<String> {
        self.free(job, |holder| !holder.written)
    }

    /// A holding that an earlier process wrote down.
    pub(crate) fn restore(&self, place: DeploymentLock, job: &JobRow) {
        self.lock().held.insert(place, Holder::of(job, true));
    }

    /// Puts a job in line, by the moment since which it waits; gives where it stands, in words. `None` where the place is
    /// free by now: then it is kept for the job, which can go on.
    pub(crate) fn enqueue(&self, place: &DeploymentLock, job: &JobRow, since: Timestamp) -> Option<String> {
        let mut state = self.lock();
        match state.held.get(place) {
            Some(holder) if holder.job != job.id => {
                let of = if holder.line.is_empty() { String::new() } else { format!(" (`{}`)", holder.line) };
                let about = format!("stands in line for {place}, which job {} holds{of}", holder.job);
                state.lines.entry(place.clone()).or_default().insert((since, job.id.clone()));
                Some(about)
            }
            Some(_) => None,
            None => {
                state.held.insert(place.clone(), Holder::of(job, false));
                None
            }
        }
    }

    /// A job is over, or waits no longer: its places are free and it stands in no line. Gives the jobs that are next;
    /// nobody else can take the place of one before it has tried.
    pub(crate) fn release(&self, job: &str) -> Vec<String> {
        self.leave_queues(job);
        self.free(job, |_| true)
    }

    fn free(&self, job: &str, which: impl Fn(&Holder) -> bool) -> Vec<String> {
        let mut state = self.lock();
        let held = state.held.iter().filter(|(_, holder)| holder.job == job && which(holder));
        let free: Vec<DeploymentLock> = held.map(|(place, _)| place.clone()).collect();
        let mut next = Vec::new();
        for place in free {
            state.held.remove(&place);
            let Some((_, id)) = state.lines.get_mut(&place).and_then(BTreeSet::pop_first) else { continue };
            // Kept for it by name alone; it takes the place itself, with its row, when it runs.
            let holder = Holder { job: id.clone(), line: String::new(), caller: String::new(), written: false };
            state.held.insert(place, holder);
            next.push(id);
        }
        next
    }

    /// Takes a job out of every line.
    pub(crate) fn leave_queues(&self, job: &str) {
        self.lock().lines.retain(|_, line| {
            line.retain(|(_, id)| id != job);
            !line.is_empty()
        });
    }

    /// The places that a job holds, in order.
    pub(crate) fn of(&self, job: &str) -> Vec<DeploymentLock> {
        let state = self.lock();
        let held = state.held.iter().filter(|(_, holder)| holder.job == job && holder.written);
        let mut places: Vec<DeploymentLock> = held.map(|(place, _)| place.clone()).collect();
        places.sort();
        places
    }

    /// Whether a job acts in an environment now.
    pub(crate) fn acts(&self, job: &str, environment: &str) -> bool {
        let state = self.lock();
        let here = |(place, holder): (&DeploymentLock, &Holder)| {
            place.environment == environment && holder.job == job && holder.written
        };
        state.held.iter().any(here)
    }

    /// The jobs that act in an environment now, each with its line, in the order of their ids.
    pub(crate) fn acting(&self, environment: &str) -> BTreeMap<String, String> {
        let state = self.lock();
        let held = state.held.iter().filter(|(place, holder)| place.environment == environment && holder.written);
        held.map(|(_, holder)| (holder.job.clone(), holder.line.clone())).collect()
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
