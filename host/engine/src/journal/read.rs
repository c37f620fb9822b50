//! Reads a consistent snapshot of one job's journal, also while a host appends to it.

use crate::store::{HashedEntry, Store, StoreError};

/// The number of reads before entries count as missing.
const READS: usize = 5;

/// A job's entries, and their count with the last hash as the store counted them; `None` if there is no such job.
pub(crate) type Journal = (Vec<HashedEntry>, Option<(u32, String)>);

/// Reads the entries of a job and their stored count. Entries that are appended between the two reads are included. If
/// entries are still fewer than the count after `READS` reads, they are missing, and verification reports it.
///
/// # Errors
/// [`StoreError`].
pub async fn read(store: &dyn Store, job: &str) -> Result<Journal, StoreError> {
    let mut reads = 0;
    loop {
        let entries = store.entries(job).await?;
        let head = store.journal_head(job).await?;
        reads += 1;
        let counted = head.as_ref().map_or(0, |(count, _)| *count as usize);
        if counted <= entries.len() || reads == READS {
            return Ok((entries, head));
        }
    }
}
