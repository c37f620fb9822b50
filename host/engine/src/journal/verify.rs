//! Checks the chain and every journal that hangs on it.

use std::fmt;

use crate::port::{Store, StoreError, store::Sealed};

/// The newest end of the chain. Kept elsewhere, it shows later that nothing was cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest link; 0 where there is none.
    pub number: u64,
    /// Its hash.
    pub hash: String,
}

/// What was found to be whole.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// Links of the chain.
    pub links: u64,
    /// Jobs whose entries are there.
    pub jobs: u64,
    /// Their entries.
    pub entries: u64,
    /// Lines of queries and refusals.
    pub lines: u64,
    /// Jobs that were removed because they were over for long enough.
    pub removed: u64,
    /// The newest end.
    pub head: Head,
}

/// The first thing that is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The job, where it is one's.
    pub job: Option<String>,
    /// What and where, one line: `entry 4 of job 7f3a was changed`.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Checks everything. With a head that was kept elsewhere, also that the chain still goes through it.
///
/// # Errors
/// The store cannot be read. `Ok(Err(_))` is the first thing that was changed, removed or moved.
pub async fn verify(_store: &dyn Store, _head: Option<&Head>) -> Result<Result<Verified, Fault>, StoreError> {
    todo!()
}

/// Checks one job's entries against each other, and against what was counted when they were written.
///
/// # Errors
/// The first that was changed, removed or moved.
pub fn check_entries(_job: &str, _entries: &[Sealed], _tip: &(u32, String)) -> Result<(), Fault> {
    todo!()
}
