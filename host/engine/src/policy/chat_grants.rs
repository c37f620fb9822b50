//! The roles granted in chat: an in-memory copy of the store's rows, by person.
//!
//! Invariant: it changes only after the transaction of the change.
//! Not here: whether a grant is in force, which depends on the configuration and the clock.

use std::{
    collections::HashMap,
    sync::{
        Arc, PoisonError, RwLock, RwLockReadGuard,
        atomic::{AtomicBool, Ordering},
    },
};

use crate::store::Grant;

/// The grants, by the first id of each person.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    people: RwLock<HashMap<String, Vec<Arc<Grant>>>>,
    // Whether there are any grants. Most hosts have none, and then no lock is taken.
    any: AtomicBool,
}

impl Granted {
    /// Adds a grant, unless it is present.
    pub(crate) fn add(&self, person: &str, grant: Grant) {
        let mut people = self.people.write().unwrap_or_else(PoisonError::into_inner);
        let grants = people.entry(person.to_owned()).or_default();
        if grants.iter().all(|known| known.id != grant.id) {
            grants.push(Arc::new(grant));
        }
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn remove(&self, id: &str) {
        let mut people = self.people.write().unwrap_or_else(PoisonError::into_inner);
        for grants in people.values_mut() {
            grants.retain(|grant| grant.id != id);
        }
        people.retain(|_, grants| !grants.is_empty());
        self.any.store(!people.is_empty(), Ordering::Release);
    }

    /// The grants of one person, the oldest first.
    pub(crate) fn of(&self, person: &str) -> Vec<Arc<Grant>> {
        match self.any.load(Ordering::Acquire) {
            true => self.read().get(person).cloned().unwrap_or_default(),
            false => Vec::new(),
        }
    }

    /// All grants, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Grant>> {
        let mut all: Vec<Arc<Grant>> = self.read().values().flatten().cloned().collect();
        all.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        all
    }

    fn read(&self) -> RwLockReadGuard<'_, HashMap<String, Vec<Arc<Grant>>>> {
        self.people.read().unwrap_or_else(PoisonError::into_inner)
    }
}
