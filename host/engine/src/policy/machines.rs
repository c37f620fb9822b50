//! Machines that may talk: `[machine.NAME]`.
//!
//! Invariant: a machine has the rights that the configuration gives it by name, none of those that everyone has, and it
//! approves of nothing.

use std::collections::{BTreeMap, HashSet};

/// What stands before a machine's name in its own id, so that no person's id is one.
const PREFIX: &str = "machine:";

/// The machines of the configuration.
#[derive(Debug, Clone, Default)]
pub struct Machines {
    own: BTreeMap<String, String>,
    ids: HashSet<String>,
}

impl Machines {
    /// Adds one with its ids in chats; gives its own id.
    pub fn add(&mut self, name: &str, ids: &[String]) -> String {
        let own = format!("{PREFIX}{name}");
        self.ids.insert(own.clone());
        self.ids.extend(ids.iter().cloned());
        self.own.insert(name.to_owned(), own.clone());
        own
    }

    /// Whether an id is a machine's.
    pub fn has(&self, id: &str) -> bool {
        self.ids.contains(id)
    }

    /// A machine's own id, under which it acts where it is in no chat.
    pub fn own_id(&self, name: &str) -> Option<&str> {
        self.own.get(name).map(String::as_str)
    }

    /// Their names.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.own.keys().map(String::as_str)
    }
}
