//! The trait of a directory of groups of people, for example of an identity provider.

use std::{collections::HashSet, sync::Arc};

/// The error if the members of a group are unavailable: the reason, in one line for the log and for people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GroupUnavailable(pub String);

/// A directory of groups of people. The engine queries the directory in each check of a person's rights, so the
/// directory must return the members from memory. A directory that reads from a server must cache the members. If its
/// cache is too old, it must return [`GroupUnavailable`].
///
/// ```
/// use wardroom::prelude::*;
///
/// let directory = MemoryDirectory::default();
/// directory.set("oncall", &["@carol:example.org"]);
/// assert!(directory.members("oncall").unwrap().contains("@carol:example.org"));
/// ```
pub trait Directory: Send + Sync + 'static {
    /// Returns the ids of the current members of the group `[group.NAME]`.
    ///
    /// # Errors
    /// [`GroupUnavailable`]; the group then counts as empty.
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable>;
}
