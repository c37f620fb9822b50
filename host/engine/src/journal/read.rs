//! Reads a consistent snapshot of one job's journal, even while a host appends entries.

use super::{check_entries, verify::Fault};
use crate::store::{HashedEntry, JobRow, Store, StoreError};

/// The maximum number of attempts to read a journal whose number of entries is smaller than the number in the job's
/// row. If entries are still missing after the last attempt, the verification reports a fault.
const MAX_READS: usize = 5;

/// The journal of one job. `Display` formats the journal for people with one line per entry, as `wardroom journal show`
/// does.
#[derive(Debug)]
pub struct JobJournal {
    pub(super) job: JobRow,
    pub(super) entries: Vec<HashedEntry>,
    /// The number of entries and the hash of the last entry, from [`Store::journal_head`].
    pub(super) head: (u32, String),
}

impl JobJournal {
    /// Reads the journal of the job with this id. Returns `None` for an unknown job.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    pub async fn read(store: &dyn Store, job: &str) -> Result<Option<Self>, StoreError> {
        let Some(row) = store.job(job).await? else { return Ok(None) };
        let (entries, head) = read(store, &row.id).await?;
        Ok(head.map(|head| Self { job: row, entries, head }))
    }

    /// Returns the row of the job, with its command, caller and status.
    pub fn job(&self) -> &JobRow {
        &self.job
    }

    /// Returns the entries in the order of their numbers. [`Entry::unpack`](crate::store::Entry::unpack) reads a body
    /// that is stored as a blob.
    pub fn entries(&self) -> &[HashedEntry] {
        &self.entries
    }

    /// Verifies the hashes and the number of the entries. Does not read blobs.
    ///
    /// # Errors
    /// The description of the first entry that was changed, removed, moved or added.
    pub fn check(&self) -> Result<(), Fault> {
        check_entries(&self.job.id, &self.entries, &self.head, None)
    }
}

/// The entries of a job, and the result of [`Store::journal_head`]: the stored number of entries and the hash of the
/// last entry. The result is `None` for an unknown job.
pub(crate) type Journal = (Vec<HashedEntry>, Option<(u32, String)>);

/// Reads the entries of a job and the stored number of its entries. A host may append entries between the two reads. If
/// fewer entries than the stored number were read, reads again. After [`MAX_READS`] attempts, returns the entries
/// anyway, and the verification then reports the missing entries.
///
/// # Errors
/// [`StoreError`] if the store cannot be read.
pub(crate) async fn read(store: &dyn Store, job: &str) -> Result<Journal, StoreError> {
    let mut reads = 0;
    loop {
        let entries = store.entries(job).await?;
        let head = store.journal_head(job).await?;
        reads += 1;
        let counted = head.as_ref().map_or(0, |(count, _)| *count as usize);
        if counted <= entries.len() || reads == MAX_READS {
            return Ok((entries, head));
        }
    }
}
