//! Verifies the hash chain and all journals page by page, even while a host writes.
//!
//! Invariant: missing data is a fault. The only exception is expired data: a later link of the hash chain must record
//! its removal.

mod authority;
mod entries;
mod job;
mod walk;

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::store::{Store, StoreError};
use walk::Walk;

pub(crate) use entries::check_entries;

/// The newest link of the hash chain, and the ends of the journals of the open jobs. A caller can keep a copy of the
/// head outside of the store. A later verification with this copy detects whether links were removed from the end of
/// the hash chain, and whether earlier entries of a job that was open were changed.
///
/// The text of a head is the number and the hash of the link, and the job, the number of entries and the hash of the
/// last entry for each open job: `12:0f3a…,7f3ak:5:77b2…`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Head {
    /// The number of the newest link; 0 for an empty chain.
    pub number: u64,
    /// The hash of the newest link; empty for an empty chain.
    pub hash: String,
    /// The ids of the open jobs, each with the number of entries in its journal and the hash of the last entry.
    pub open: BTreeMap<String, (u32, String)>,
}

impl std::fmt::Display for Head {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}:{}", self.number, self.hash)?;
        self.open.iter().try_for_each(|(job, (entries, hash))| write!(f, ",{job}:{entries}:{hash}"))
    }
}

impl std::str::FromStr for Head {
    type Err = String;

    /// # Errors
    /// A description of the form that a head has.
    fn from_str(text: &str) -> Result<Self, String> {
        let invalid = || "a head is a text such as `12:0f3a…`, as `journal verify` prints it".to_owned();
        let mut parts = text.trim().split(',');
        let (number, hash) = parts.next().and_then(|link| link.split_once(':')).ok_or_else(invalid)?;
        // The first link has the number 1.
        let number = number.parse().ok().filter(|number| *number > 0).ok_or_else(invalid)?;
        let hash = parse_hash(hash).ok_or_else(invalid)?;
        let open = parts.map(|part| {
            let (job, end) = part.split_once(':')?;
            let (entries, hash) = end.split_once(':')?;
            Some((job.to_owned(), (entries.parse().ok()?, parse_hash(hash)?)))
        });
        Ok(Self { number, hash, open: open.collect::<Option<_>>().ok_or_else(invalid)? })
    }
}

/// Returns a hash of 64 hexadecimal digits in lower case; `None` for another text.
fn parse_hash(text: &str) -> Option<String> {
    let is_hash = text.len() == 64 && text.bytes().all(|digit| digit.is_ascii_hexdigit());
    is_hash.then(|| text.to_ascii_lowercase())
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
    /// The host removed data from before this time; `None` if it removed nothing.
    pub removed_until: Option<Timestamp>,
    /// The newest link of the chain and the ends of the journals of the open jobs.
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
/// if it is given, the hash chain must contain its link, and the journals of its open jobs must begin with the same
/// entries. Returns `Ok(Ok(_))` if there is no fault, and `Ok(Err(_))`
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
