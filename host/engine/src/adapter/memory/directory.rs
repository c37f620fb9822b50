//! An in-memory directory of groups for tests.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
};

use parking_lot::Mutex;

use crate::adapter::directory::{Directory, GroupUnavailable};

/// An in-memory directory of groups for tests. A group is unavailable until a test sets its members.
///
/// ```
/// use wardroom::prelude::*;
///
/// let directory = MemoryDirectory::default();
/// directory.close("oncall");
/// assert!(directory.members("oncall").is_err());
/// ```
#[derive(Debug, Default)]
pub struct MemoryDirectory(Mutex<HashMap<String, Arc<HashSet<String>>>>);

impl MemoryDirectory {
    /// Replaces the members of a group, and makes the group available.
    pub fn set(&self, group: &str, members: &[&str]) {
        let members = members.iter().map(|id| (*id).to_owned()).collect();
        self.0.lock().insert(group.to_owned(), Arc::new(members));
    }

    /// Removes the members of a group, and makes the group unavailable.
    pub fn close(&self, group: &str) {
        self.0.lock().remove(group);
    }
}

impl Directory for MemoryDirectory {
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let members = self.0.lock().get(group).cloned();
        members.ok_or_else(|| GroupUnavailable("the directory has no members for this group".to_owned()))
    }
}
