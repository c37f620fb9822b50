//! The trait of a directory of groups of people, for example of an identity provider.

use std::{collections::HashSet, sync::Arc};

/// The error of [`Directory::members`]: the current members of a group are unknown. Holds the reason, as one line for
/// the log and for messages to people.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GroupUnavailable(pub String);

/// A directory of groups of people. The engine queries the directory each time that it checks a person's rights, so
/// [`Directory::members`] must return the members from memory. A directory that reads from a server must cache the
/// members of each group. If the cached members are too old, it must return [`GroupUnavailable`].
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
