//! Machines that may send commands: `[machine.NAME]`.
//!
//! Invariant: a machine has only rights that the configuration gives it by name. It has no rights of `everyone`, and it
//! cannot approve.

use std::collections::{BTreeMap, HashSet};

/// The prefix of a machine's own id, which no person's id can have.
const PREFIX: &str = "machine:";

/// The machines of the configuration.
#[derive(Debug, Clone, Default)]
pub(crate) struct Machines {
    own: BTreeMap<String, String>,
    ids: HashSet<String>,
}

impl Machines {
    /// Adds a machine with its chat ids. Returns its own id.
    pub(crate) fn add(&mut self, name: &str, ids: &[String]) -> String {
        let own = format!("{PREFIX}{name}");
        self.ids.insert(own.clone());
        self.ids.extend(ids.iter().cloned());
        self.own.insert(name.to_owned(), own.clone());
        own
    }

    /// Whether an id belongs to a machine.
    pub(crate) fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// A machine's own id, for commands that do not come from a chat network.
    pub(crate) fn own_id(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    /// The machines' names in the configuration.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.own.keys().map(String::as_str)
    }
}
