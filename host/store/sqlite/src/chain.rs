//! A cache of the hash chain: its last link, and the tips of recently written jobs.
//!
//! Architecture Invariant: a transaction works on a [`ChainDraft`]. After the commit, [`ChainCache::adopt`] merges the draft; the
//! draft of a failed transaction is dropped. So the cache holds committed data only.
//! Not here: the hashes (`wardroom::journal`).

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use wardroom::{
    Timestamp,
    store::{AuditRecord, Link, LinkKind, StoreError, line_digest, lines_digest, link_hash},
};

use crate::{
    convert::{enum_column, store_error, time_column},
    write,
};

/// The most cached tips; a tip that is not cached is read from the database.
const MAX_TIPS: usize = 4096;

/// The end of a job's journal.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    /// The number of entries.
    pub(crate) entries: u32,
    /// The hash of the last entry; empty where there is none.
    pub(crate) hash: String,
    pub(crate) open: bool,
    /// Whether the job's row has to be updated.
    pub(crate) changed: bool,
}

/// The last link. Number 0 and an empty hash before the first one.
#[derive(Debug, Clone, Default)]
struct Head {
    number: u64,
    hash: String,
}

/// Committed data.
#[derive(Debug, Default)]
pub(crate) struct ChainCache {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
}

/// The changes of one transaction.
#[derive(Debug, Default)]
pub(crate) struct ChainDraft<'w> {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
    /// Lines that share one link, which is added at the end of the transaction.
    lines: Vec<&'w AuditRecord>,
    /// Jobs that the current list has opened.
    opened: Vec<&'w str>,
}

impl ChainCache {
    /// Merges the draft of a committed transaction.
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
    /// The tip of a job; `None` where the job does not exist.
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

    /// The tip of an open job.
    ///
    /// # Errors
    /// The job does not exist, or is closed.
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

    /// Adds a job that was opened; its first entry must follow in the same list.
    pub(crate) fn add_job(&mut self, job: &'w str) {
        self.tips.insert(job.to_owned(), Tip { entries: 0, hash: String::new(), open: true, changed: false });
        self.opened.push(job);
    }

    /// Adds a line to the shared link of the transaction.
    pub(crate) fn add_line(&mut self, line: &'w AuditRecord) {
        self.lines.push(line);
    }

    /// Writes a link and returns its number.
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
        link.hash = link_hash(&head.hash, &link);
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

    /// Writes lines and a link for them.
    pub(crate) async fn write_lines(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
        kind: LinkKind,
        lines: &[&AuditRecord],
    ) -> Result<(), StoreError> {
        let Some(at) = lines.iter().map(|line| line.at).max() else { return Ok(()) };
        let digest = lines_digest(lines.iter().map(|line| line_digest(line)));
        let link = self.write_link(connection, chain, kind, "", &digest, at).await?;
        for line in lines {
            write::insert_line(connection, line, link).await?;
        }
        Ok(())
    }

    /// Checks that each job that the list opened has its first entry.
    pub(crate) fn end_list(&mut self) -> Result<(), StoreError> {
        for job in std::mem::take(&mut self.opened) {
            if self.tips.get(job).is_none_or(|tip| tip.entries == 0) {
                return Err(StoreError::Failed(format!("job `{job}` has no entry 0 in the transaction that opens it")));
            }
        }
        Ok(())
    }

    /// Writes the shared link with its lines, and the changed tips.
    pub(crate) async fn end_transaction(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &ChainCache,
    ) -> Result<(), StoreError> {
        let lines = std::mem::take(&mut self.lines);
        self.write_lines(connection, chain, LinkKind::Lines, &lines).await?;
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
