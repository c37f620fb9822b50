//! Who is in which group: an identity provider's side, as far as it is known now.

use std::{collections::HashSet, sync::Arc};

/// Why nobody is in a group now, one line for the log.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct Closed(pub String);

/// Tells who is in a group. It is asked in the middle of each decision, so it answers at once with what it knows; one that
/// asks a server keeps what it was told, and says [`Closed`] when that is too old.
pub trait Directory: Send + Sync + 'static {
    /// The ids of those who are in a group `[group.NAME]` now.
    ///
    /// # Errors
    /// [`Closed`]: nobody counts among it.
    fn members(&self, group: &str) -> Result<Arc<HashSet<String>>, Closed>;
}
