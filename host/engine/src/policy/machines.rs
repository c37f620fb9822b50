//! Machine accounts that may send commands: `[machine.NAME]`.
//!
//! Invariant: a machine has only the roles that name the machine. It does not have the roles of `everyone`, and it
//! cannot approve.

use std::collections::{BTreeMap, HashSet};

/// The prefix of a machine's own id: `machine:ci`. No chat network gives a person such an id.
const PREFIX: &str = "machine:";

#[derive(Debug, Clone, Default)]
pub(crate) struct Machines {
    own: BTreeMap<String, String>,
    ids: HashSet<String>,
}

impl Machines {
    /// Adds a machine account with its ids on chat networks. Returns the machine account's own id, such as
    /// `machine:ci`.
    pub(crate) fn add(&mut self, name: &str, ids: &[String]) -> String {
        let own = format!("{PREFIX}{name}");
        self.ids.insert(own.clone());
        self.ids.extend(ids.iter().cloned());
        self.own.insert(name.to_owned(), own.clone());
        own
    }

    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// Returns the own id of a machine account, such as `machine:ci`. The host uses this id as the sender of the
    /// commands of schedules and hooks. Returns `None` if the configuration has no machine account with this name.
    pub(crate) fn own_id(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.own.keys().map(String::as_str)
    }
}
