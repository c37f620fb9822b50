//! Checks the chain and every journal that hangs on it, in pages, also while a host writes.
//!
//! Invariant: what is not there any more is explained by a later link of a removal, or it is a fault.

mod entries;
mod job;
mod walk;

use std::fmt;

use crate::store::{Store, StoreError};
use walk::Walk;

pub use entries::check_entries;
pub(crate) use entries::check_entries_behind;

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

/// Why a check ends early.
#[derive(Debug)]
enum GuestStop {
    Store(StoreError),
    Fault(Fault),
}

impl From<StoreError> for GuestStop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for GuestStop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl GuestStop {
    /// What could not be read for good was changed by somebody: the store reads all that it wrote.
    fn reading(error: StoreError, job: Option<&str>, what: String) -> Self {
        match error {
            StoreError::Failed(reason) => {
                Self::Fault(Fault { job: job.map(str::to_owned), message: format!("{what}: {reason}") })
            }
            error => Self::Store(error),
        }
    }
}

impl Fault {
    fn of(job: &str, message: String) -> Self {
        Self { job: Some(job.to_owned()), message }
    }

    fn link(message: String) -> Self {
        Self { job: None, message }
    }
}

/// Checks everything. With a head that was kept elsewhere, also that the chain still goes through it.
///
/// # Errors
/// The store cannot be read. `Ok(Err(_))` is the first thing that was changed, removed or moved.
pub async fn verify(store: &dyn Store, head: Option<&Head>) -> Result<Result<Verified, Fault>, StoreError> {
    match Walk::new(store, head).all().await {
        Ok(verified) => Ok(Ok(verified)),
        Err(GuestStop::Fault(fault)) => Ok(Err(fault)),
        Err(GuestStop::Store(error)) => Err(error),
    }
}
