//! Caches the last link of the hash chain, and the tips of recently written jobs. The tip of a job is the last entry of
//! its journal.
//!
//! Architecture Invariant: a transaction changes a [`ChainDraft`]. [`ChainCache::adopt`] merges the draft after the
//! commit; the draft of a failed transaction is dropped. The cache therefore contains only committed data.
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

/// Maximum number of tips in the cache. If a transaction ends while the cache has more tips, the cache drops all of
/// them and then adds the tips of the transaction. Tips that are not cached are read from the database.
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

/// The last link of the hash chain. The head of an empty chain has the number 0 and an empty hash.
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

/// The changes of one transaction to the chain.
#[derive(Debug, Default)]
pub(crate) struct ChainDraft<'w> {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
    /// The audit records of queries. All of them share one link, which [`ChainDraft::end_transaction`] writes.
    audit_records: Vec<&'w AuditRecord>,
    /// The ids of the jobs that the current list of writes creates.
    opened: Vec<&'w str>,
}

impl ChainCache {
    /// Merges the draft of a committed transaction into the cache. Removes the tips of closed jobs, and all earlier
    /// tips if the cache has more than [`MAX_TIPS`].
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

    /// Adds a job that the current list of writes creates. The same list must also append the job's first journal
    /// entry, which has the number 0.
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

    /// Checks that the current list of writes appends the first journal entry, with the number 0, of each job that it
    /// creates. `write_lists` calls this function at the end of each list of writes.
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

    /// Inserts the audit records of queries with their shared link, then stores the changed tips in the rows of their
    /// jobs. `write_lists` calls this function after the last list of writes.
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
