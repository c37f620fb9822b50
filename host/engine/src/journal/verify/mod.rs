//! Verifies the hash chain and all journals page by page, even while a host writes.
//!
//! Invariant: missing data is a fault. The only exception is expired data: a later link of the hash chain must record
//! its removal.

mod entries;
mod job;
mod walk;

use crate::store::{Store, StoreError};
use walk::Walk;

pub(crate) use entries::check_entries;

/// The number and hash of the newest link of the hash chain. A caller can keep a copy of them outside of the store. A
/// later verification with this copy detects whether links were removed from the end of the hash chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest link; 0 for an empty chain.
    pub number: u64,
    /// The hash of the newest link; empty for an empty chain.
    pub hash: String,
}

/// The result of a verification that found no fault.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Verified {
    /// The number of links in the hash chain.
    pub links: u64,
    /// The number of jobs in the store, open and closed.
    pub jobs: u64,
    /// The number of journal entries of these jobs.
    pub entries: u64,
    /// The number of audit records in the store.
    pub lines: u64,
    /// The number of jobs that were removed because the retention time was over.
    pub removed: u64,
    /// The newest link of the chain.
    pub head: Head,
}

/// A fault that the verification found: stored data that is missing or does not match its hash.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Fault {
    /// The id of the job with the fault; `None` if the fault is not in a job.
    pub job: Option<String>,
    /// The description, in one line: `journal entry 4 of job 7f3a was changed`.
    pub message: String,
}

/// The reason why the verification stops before the end of the hash chain.
#[derive(Debug, thiserror::Error)]
enum VerifyStop {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error(transparent)]
    Fault(#[from] Fault),
}

impl VerifyStop {
    /// Converts the error of a failed read of the store. `what` is a text for the message, which says what cannot be
    /// read. A permanent error becomes a fault: the store can read all data that it wrote, so somebody must have
    /// changed the data.
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

/// Verifies the hash chain, all jobs and all audit records of a store. `head` is the head from an earlier verification;
/// if it is given, the hash chain must contain this link. Returns `Ok(Ok(_))` if there is no fault, and `Ok(Err(_))`
/// with the first fault.
///
/// # Errors
/// [`StoreError`] if the store cannot be read at the moment.
pub async fn verify(store: &dyn Store, head: Option<&Head>) -> Result<Result<Verified, Fault>, StoreError> {
    match Walk::new(store, head).all().await {
        Ok(verified) => Ok(Ok(verified)),
        Err(VerifyStop::Fault(fault)) => Ok(Err(fault)),
        Err(VerifyStop::Store(error)) => Err(error),
    }
}
