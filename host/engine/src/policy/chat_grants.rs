//! The roles that were granted in chat: an in-memory copy of the grants in the store, by person.
//!
//! Invariant: the copy changes only after the transaction that changes the store is committed.
//! Not here: the check whether a grant is in force (`access`), which depends on the configuration and the clock.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use parking_lot::RwLock;

use crate::store::Grant;

/// The grants in chat, by the first id of the person who has the role.
#[derive(Debug, Default)]
pub(crate) struct Granted {
    people: RwLock<HashMap<String, Vec<Arc<Grant>>>>,
    // Whether the map has any grants. Most hosts have no grants, and a check then takes no lock.
    any: AtomicBool,
}

impl Granted {
    /// Adds a grant for a person. `person` is the first id of the person. If a grant with the same id is already
    /// present, does nothing.
    pub(crate) fn add(&self, person: &str, grant: Grant) {
        let mut people = self.people.write();
        let grants = people.entry(person.to_owned()).or_default();
        if grants.iter().all(|known| known.id != grant.id) {
            grants.push(Arc::new(grant));
        }
        self.any.store(true, Ordering::Release);
    }

    pub(crate) fn remove(&self, id: &str) {
        let mut people = self.people.write();
        for grants in people.values_mut() {
            grants.retain(|grant| grant.id != id);
        }
        people.retain(|_, grants| !grants.is_empty());
        self.any.store(!people.is_empty(), Ordering::Release);
    }

    /// Returns the grants of one person, the oldest first.
    pub(crate) fn of(&self, person: &str) -> Vec<Arc<Grant>> {
        match self.any.load(Ordering::Acquire) {
            true => self.people.read().get(person).cloned().unwrap_or_default(),
            false => Vec::new(),
        }
    }

    /// Returns all grants, the oldest first.
    pub(crate) fn all(&self) -> Vec<Arc<Grant>> {
        let mut all: Vec<Arc<Grant>> = self.people.read().values().flatten().cloned().collect();
        all.sort_by(|one, other| (one.at, &one.id).cmp(&(other.at, &other.id)));
        all
    }
}
