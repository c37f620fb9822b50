//! Caches the last link of the hash chain, and the tips of recently written jobs. The tip of a job is the last entry of
//! its journal.
//!
//! Architecture Invariant: a transaction changes only its [`ChainDraft`]. After the commit, [`ChainCache::adopt`]
//! merges the draft into the cache. If the transaction fails, its draft is dropped. The cache therefore contains only
//! committed data.
//! Not here: the computation of hashes (`host/engine/src/journal`).

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use wardroom::{
    Timestamp,
    store::{AuditRecord, Link, LinkKind, StoreError},
};

use crate::{
    convert::{enum_column, store_error, time_column},
    write,
};

/// If the cache has more than this number of tips at the end of a transaction, the cache drops all earlier tips and
/// keeps only the tips of the transaction. A tip that is not in the cache is read from the database.
const MAX_TIPS: usize = 4096;

/// The tip of a job: the last entry of its journal.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    /// The number of entries in the job's journal.
    pub(crate) entries: u32,
    /// The hash of the last entry; empty for a journal without entries.
    pub(crate) hash: String,
    pub(crate) open: bool,
    /// True if this tip is newer than the tip in the job's row of the database.
    pub(crate) changed: bool,
}

/// The number and the hash of the last link in the hash chain. If the chain is empty, the number is 0 and the hash is
/// empty.
#[derive(Debug, Clone, Default)]
struct Head {
    number: u64,
    hash: String,
}

#[derive(Debug, Default)]
pub(crate) struct ChainCache {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
}

/// The changes that one transaction makes to the hash chain and to the tips of jobs.
#[derive(Debug, Default)]
pub(crate) struct ChainDraft<'w> {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
    /// The audit records of the queries in this transaction. [`ChainDraft::end_transaction`] writes one link for all
    /// these records.
    audit_records: Vec<&'w AuditRecord>,
    /// The ids of the jobs that the current list of writes creates. [`ChainDraft::end_list`] clears this field.
    opened: Vec<&'w str>,
}

impl ChainCache {
    /// Merges the draft of a committed transaction into the cache. Removes the tips of closed jobs. If the cache
    /// already has more than [`MAX_TIPS`] tips, first removes all of them.
    pub(crate) fn adopt(&mut self, draft: ChainDraft<'_>) {
        if self.tips.len() > MAX_TIPS {
            self.tips.clear();
        }
        for (job, tip) in draft.tips {
            if tip.open {
                self.tips.insert(job, tip);
            } else {
                self.tips.remove(&job);
            }
        }
        self.head = draft.head.or(self.head.take());
    }
}

impl<'w> ChainDraft<'w> {
    /// Returns the tip of a job; `None` if the job does not exist.
    pub(crate) async fn tip(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
        job: &str,
    ) -> Result<Option<&mut Tip>, StoreError> {
        if !self.tips.contains_key(job) {
            let tip = match chain.tips.get(job) {
                Some(tip) => Some(tip.clone()),
                None => read_tip(connection, job).await?,
            };
            let Some(tip) = tip else { return Ok(None) };
            self.tips.insert(job.to_owned(), tip);
        }
        Ok(self.tips.get_mut(job))
    }

    /// Returns the tip of an open job.
    ///
    /// # Errors
    /// The job does not exist or is closed.
    pub(crate) async fn open_tip(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
        job: &str,
    ) -> Result<&mut Tip, StoreError> {
        match self.tip(connection, chain, job).await? {
            Some(tip) if tip.open => Ok(tip),
            _ => Err(StoreError::Failed(format!("job `{job}` is not open"))),
        }
    }

    /// Adds a new job, which the current list of writes creates. The same list must also append the job's first journal
    /// entry; otherwise [`Self::end_list`] returns an error.
    pub(crate) fn add_job(&mut self, job: &'w str) {
        self.tips.insert(job.to_owned(), Tip { entries: 0, hash: String::new(), open: true, changed: false });
        self.opened.push(job);
    }

    /// Adds the audit record of a query. All audit records of queries in one transaction share one link.
    pub(crate) fn add_audit_record(&mut self, record: &'w AuditRecord) {
        self.audit_records.push(record);
    }

    /// Appends a link to the hash chain and returns the link's number. `kind` determines `subject` and `digest`:
    /// - start or end of a job: the job's id, and the hash of the job's first or last journal entry
    /// - audit records: an empty subject, and the digest of the records
    /// - removal: the time before which data was removed, and an empty digest
    pub(crate) async fn write_link(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
        kind: LinkKind,
        subject: &str,
        digest: &str,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let head = match self.head.take().or_else(|| chain.head.clone()) {
            Some(head) => head,
            None => last_link(connection).await?,
        };
        let (subject, digest) = (subject.to_owned(), digest.to_owned());
        let mut link = Link { number: head.number + 1, kind, subject, digest, at, hash: String::new() };
        link.hash = link.hash_after(&head.hash);
        sqlx::query("insert into link (number, kind, subject, digest, at, hash) values (?, ?, ?, ?, ?, ?)")
            .bind(i64::try_from(link.number).unwrap_or(i64::MAX))
            .bind(enum_column(&link.kind)?)
            .bind(&link.subject)
            .bind(&link.digest)
            .bind(time_column(link.at))
            .bind(&link.hash)
            .execute(connection)
            .await
            .map_err(|error| store_error(&error))?;
        let number = link.number;
        self.head = Some(Head { number, hash: link.hash });
        Ok(number)
    }

    /// Inserts audit records, and appends one link with the digest of all these records to the hash chain. Does nothing
    /// for an empty list.
    pub(crate) async fn write_audit_records(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
        kind: LinkKind,
        records: &[&AuditRecord],
    ) -> Result<(), StoreError> {
        let Some(at) = records.iter().map(|record| record.at).max() else { return Ok(()) };
        let digest = AuditRecord::group_digest(records.iter().copied());
        let link = self.write_link(connection, chain, kind, "", &digest, at).await?;
        for record in records {
            write::insert_audit_record(connection, record, link).await?;
        }
        Ok(())
    }

    /// Returns an error if the current list of writes creates a job but does not append the job's first journal entry.
    /// `write_lists` calls this function at the end of each list of writes.
    pub(crate) fn end_list(&mut self) -> Result<(), StoreError> {
        for job in std::mem::take(&mut self.opened) {
            if self.tips.get(job).is_none_or(|tip| tip.entries == 0) {
                return Err(StoreError::Failed(format!(
                    "the transaction that opens job `{job}` does not append the first journal entry"
                )));
            }
        }
        Ok(())
    }

    /// Inserts the audit records of the transaction's queries, with one link for all these records. Then stores each
    /// changed tip in the row of its job. `write_lists` calls this function after the last list of writes.
    pub(crate) async fn end_transaction(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
    ) -> Result<(), StoreError> {
        let records = std::mem::take(&mut self.audit_records);
        self.write_audit_records(connection, chain, LinkKind::Lines, &records).await?;
        for (job, tip) in self.tips.iter_mut().filter(|(_, tip)| tip.changed) {
            sqlx::query("update job set entries = ?, tip = ? where id = ?")
                .bind(tip.entries)
                .bind(&tip.hash)
                .bind(job)
                .execute(&mut *connection)
                .await
                .map_err(|error| store_error(&error))?;
            tip.changed = false;
        }
        Ok(())
    }
}

async fn read_tip(connection: &mut SqliteConnection, job: &str) -> Result<Option<Tip>, StoreError> {
    let row = sqlx::query("select entries, tip, ended is null from job where id = ?")
        .bind(job)
        .fetch_optional(connection)
        .await
        .map_err(|error| store_error(&error))?;
    let tip = |row: sqlx::sqlite::SqliteRow| {
        Ok(Tip { entries: row.try_get(0)?, hash: row.try_get(1)?, open: row.try_get(2)?, changed: false })
    };
    row.map(tip).transpose().map_err(|error| store_error(&error))
}

async fn last_link(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row: Option<(i64, String)> = sqlx::query_as("select number, hash from link order by number desc limit 1")
        .fetch_optional(connection)
        .await
        .map_err(|error| store_error(&error))?;
    Ok(row.map(|(number, hash)| Head { number: u64::try_from(number).unwrap_or(0), hash }).unwrap_or_default())
}
