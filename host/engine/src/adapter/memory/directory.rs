//! An in-memory directory for tests.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, PoisonError},
};

use crate::adapter::directory::{Directory, GroupUnavailable};

/// An in-memory directory for tests.
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
    /// Sets the members of a group. Groups without members are closed.
    pub fn set(&self, group: &str, members: &[&str]) {
        let members = members.iter().map(|id| (*id).to_owned()).collect();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(group.to_owned(), Arc::new(members));
    }

    /// Closes a group.
    pub fn close(&self, group: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(group);
    }
}

impl Directory for MemoryDirectory {
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable> {
        let groups = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        groups.get(group).cloned().ok_or_else(|| GroupUnavailable("the group has no members".to_owned()))
    }
}
