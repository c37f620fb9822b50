//! Verifies the chain and all journals, in pages, also while a host writes.
//!
//! Invariant: missing data is a fault unless a later removal link explains it.

mod entries;
mod job;
mod walk;

use std::fmt;

use crate::store::{Store, StoreError};
use walk::Walk;

pub use entries::check_entries;
pub(crate) use entries::check_entries_incremental;

/// The newest link of the chain. A copy that is kept elsewhere shows later that the end of the chain was not cut off.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest link; 0 for an empty chain.
    pub number: u64,
    /// The hash of that link.
    pub hash: String,
}

/// The counts of a successful verification.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number of links.
    pub links: u64,
    /// The number of jobs whose entries are stored.
    pub jobs: u64,
    /// The number of their entries.
    pub entries: u64,
    /// The number of audit records.
    pub lines: u64,
    /// The number of jobs that retention removed.
    pub removed: u64,
    /// The newest link.
    pub head: Head,
}

/// The first fault that was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The job's id, if the fault concerns a job.
    pub job: Option<String>,
    /// The description, in one line: `entry 4 of job 7f3a was changed`.
    pub message: String,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// Why the verification stops.
#[derive(Debug)]
enum VerifyStop {
    Store(StoreError),
    Fault(Fault),
}

impl From<StoreError> for VerifyStop {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Fault> for VerifyStop {
    fn from(fault: Fault) -> Self {
        Self::Fault(fault)
    }
}

impl VerifyStop {
    /// A permanent read error means that the data was changed: the store can read everything that it wrote.
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

/// Verifies the whole store. With a head that was kept elsewhere, also verifies that the chain contains it.
///
/// # Errors
/// The store cannot be read. `Ok(Err(_))` is the first fault.
pub async fn verify(store: &dyn Store, head: Option<&Head>) -> Result<Result<Verified, Fault>, StoreError> {
    match Walk::new(store, head).all().await {
        Ok(verified) => Ok(Ok(verified)),
        Err(VerifyStop::Fault(fault)) => Ok(Err(fault)),
        Err(VerifyStop::Store(error)) => Err(error),
    }
}
