//! The trait of a group directory, for example an identity provider.

use std::{collections::HashSet, sync::Arc};

/// Why a group counts as empty, in one line for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct GroupUnavailable(pub String);

/// A directory of groups. It is queried in each check, so it must answer from memory. A directory with a server must
/// cache its members, and return [`GroupUnavailable`] when the cache is too old.
///
/// ```
/// use wardroom::prelude::*;
///
/// let directory = MemoryDirectory::default();
/// directory.set("oncall", &["@carol:example.org"]);
/// assert!(directory.members("oncall").unwrap().contains("@carol:example.org"));
/// ```
pub trait Directory: Send + Sync + 'static {
    /// The ids of the current members of a group `[group.NAME]`.
    ///
    /// # Errors
    /// [`GroupUnavailable`]: the group counts as empty.
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, GroupUnavailable>;
}
