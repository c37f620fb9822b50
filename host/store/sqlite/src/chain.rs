//! The hash chain over the jobs and audit records of a store. A transaction appends links to the chain and changes the
//! tips of jobs. The tip of a job is the number of entries in its journal and the hash of the last entry. A cache holds
//! the last link and the tips of jobs that changed recently.
//!
//! Invariant: a transaction changes only its own [`Transaction::changes`]. After the commit,
//! [`ChainCache::adopt`] merges these changes into the cache. If the transaction fails, its changes are dropped. The
//! cache therefore contains only committed data.
//! Not here: the computation of hashes (`host/engine/src/journal`).

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use wardroom::{
    Timestamp,
    journal::Head,
    store::{AuditRecord, Link, LinkKind, StoreError},
};

use crate::{
    convert::{enum_column, store_error, time_column},
    transaction::Transaction,
};

/// If the cache has more than this number of job tips at the end of a transaction, the cache drops all earlier tips and
/// keeps only the tips of the transaction. A tip that is not in the cache is read from the database.
const MAX_TIPS: usize = 4096;

/// The tip of a job: the number of entries in its journal, and the hash of the last entry.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    /// The number of entries in the job's journal.
    pub(crate) entries: u32,
    /// The hash of the last entry; empty for a journal without entries.
    pub(crate) hash: String,
    pub(crate) open: bool,
    /// True if the transaction changed this tip and has not stored it in the database yet.
    pub(crate) changed: bool,
}

/// The last link of the hash chain and the tips of some jobs: the cache of the committed data, or the changes of one
/// transaction.
#[derive(Debug, Default)]
pub(crate) struct ChainCache {
    head: Option<Head>,
    pub(crate) tips: HashMap<String, Tip>,
}

impl ChainCache {
    /// Merges the changes of a committed transaction into the cache. Removes the tips of closed jobs. If the cache
    /// already has more than [`MAX_TIPS`] tips, first removes all of them.
    pub(crate) fn adopt(&mut self, changes: Self) {
        if self.tips.len() > MAX_TIPS {
            self.tips.clear();
        }
        for (job, tip) in changes.tips {
            if tip.open {
                self.tips.insert(job, tip);
            } else {
                self.tips.remove(&job);
            }
        }
        self.head = changes.head.or(self.head.take());
    }
}

impl Transaction<'_, '_> {
    /// Returns the tip of a job (the last entry of its journal); `None` if the job does not exist.
    pub(crate) async fn tip(&mut self, job: &str) -> Result<Option<&mut Tip>, StoreError> {
        if !self.changes.tips.contains_key(job) {
            let tip = match self.cache.tips.get(job) {
                Some(tip) => Some(tip.clone()),
                None => read_tip(self.connection, job).await?,
            };
            let Some(tip) = tip else { return Ok(None) };
            self.changes.tips.insert(job.to_owned(), tip);
        }
        Ok(self.changes.tips.get_mut(job))
    }

    /// Returns the tip of an open job (the last entry of its journal).
    ///
    /// # Errors
    /// The job does not exist or is closed.
    pub(crate) async fn open_tip(&mut self, job: &str) -> Result<&mut Tip, StoreError> {
        match self.tip(job).await? {
            Some(tip) if tip.open => Ok(tip),
            _ => Err(StoreError::Failed(format!("job `{job}` is not open"))),
        }
    }

    /// Appends a link to the hash chain and returns the link's number. `kind` determines `subject` and `digest`, see
    /// [`Link`].
    pub(crate) async fn write_link(
        &mut self,
        kind: LinkKind,
        subject: &str,
        digest: &str,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let head = match self.changes.head.take().or_else(|| self.cache.head.clone()) {
            Some(head) => head,
            None => last_link(self.connection).await?,
        };
        let (subject, digest) = (subject.to_owned(), digest.to_owned());
        let mut link = Link { number: head.number + 1, kind, subject, digest, at, hash: String::new() };
        link.hash = link.hash_after(&head.hash);
        let query = sqlx::query("insert into link (number, kind, subject, digest, at, hash) values (?, ?, ?, ?, ?, ?)")
            .bind(i64::try_from(link.number).unwrap_or(i64::MAX))
            .bind(enum_column(&link.kind)?)
            .bind(&link.subject)
            .bind(&link.digest)
            .bind(time_column(link.at))
            .bind(&link.hash);
        self.execute(query).await?;
        self.changes.head = Some(Head { number: link.number, hash: link.hash, ..Head::default() });
        Ok(link.number)
    }

    /// Inserts audit records, and appends one link with the digest of all these records to the hash chain. Does nothing
    /// for an empty list.
    pub(crate) async fn write_audit_records(
        &mut self,
        kind: LinkKind,
        records: &[&AuditRecord],
    ) -> Result<(), StoreError> {
        let Some(at) = records.iter().map(|record| record.at).max() else { return Ok(()) };
        let digest = AuditRecord::group_digest(records.iter().copied());
        let link = self.write_link(kind, "", &digest, at).await?;
        for record in records {
            self.insert_audit_record(record, link).await?;
        }
        Ok(())
    }

    /// Returns an error if the current list of writes creates a job but does not append the job's first journal entry.
    pub(crate) fn end_list(&mut self) -> Result<(), StoreError> {
        for job in std::mem::take(&mut self.opened) {
            let job = &job.id;
            if self.changes.tips.get(job).is_none_or(|tip| tip.entries == 0) {
                return Err(StoreError::Failed(format!(
                    "the transaction that opens job `{job}` does not append the first journal entry"
                )));
            }
        }
        Ok(())
    }

    /// Inserts the audit records of query commands (commands that only read) into this transaction, and one link of the
    /// hash chain for all these records. Then, for each job whose journal grew, stores the hash of the newest entry and
    /// the number of entries in the job's row.
    pub(crate) async fn end(&mut self) -> Result<(), StoreError> {
        let records = std::mem::take(&mut self.audit_records);
        self.write_audit_records(LinkKind::Lines, &records).await?;
        for (job, tip) in self.changes.tips.iter_mut().filter(|(_, tip)| tip.changed) {
            sqlx::query("update job set entries = ?, tip = ? where id = ?")
                .bind(tip.entries)
                .bind(&tip.hash)
                .bind(job)
                .execute(&mut *self.connection)
                .await
                .map_err(store_error)?;
            tip.changed = false;
        }
        Ok(())
    }
}

async fn read_tip(connection: &mut SqliteConnection, job: &str) -> Result<Option<Tip>, StoreError> {
    let query = sqlx::query("select entries, tip, ended is null from job where id = ?").bind(job);
    let tip = |row: sqlx::sqlite::SqliteRow| {
        Ok(Tip { entries: row.try_get(0)?, hash: row.try_get(1)?, open: row.try_get(2)?, changed: false })
    };
    let row = query.fetch_optional(connection).await.map_err(store_error)?;
    row.map(tip).transpose().map_err(store_error)
}

async fn last_link(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row: Option<(i64, String)> = sqlx::query_as("select number, hash from link order by number desc limit 1")
        .fetch_optional(connection)
        .await
        .map_err(store_error)?;
    let (number, hash) = row.unwrap_or_default();
    Ok(Head { number: u64::try_from(number).unwrap_or(0), hash, ..Head::default() })
}
