//! Reads one job's journal as it stood at one moment, also while a host writes it.

use crate::store::{HashedEntry, Store, StoreError};

/// How often a journal is read again that has fewer entries than were counted.
const READS: usize = 5;

/// What the store has of a job's journal: its entries, and their count with the last hash; `None` where there is no such job.
pub(crate) type Journal = (Vec<HashedEntry>, Option<(u32, String)>);

/// Reads the entries of a job, and what was counted when they were written. An entry that was written between the two is
/// read too; one that is counted and not there after several looks is missing.
///
/// # Errors
/// [`StoreError`].
pub async fn read(store: &dyn Store, job: &str) -> Result<Journal, StoreError> {
    let mut reads = 0;
    loop {
        let entries = store.entries(job).await?;
        let tip = store.tip(job).await?;
        reads += 1;
        let counted = tip.as_ref().map_or(0, |(count, _)| *count as usize);
        if counted <= entries.len() || reads == READS {
            return Ok((entries, tip));
        }
    }
}
