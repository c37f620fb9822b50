//! What the writer knows of the chain: its newest link, and the tips of jobs that were written lately.
//!
//! Architecture Invariant: a transaction works on a [`Draft`]. Only after it was committed does [`Chain::adopt`] take the
//! draft over; a draft of one that failed is dropped, so nothing that is remembered was never written.
//! Not here: the hashes (`wardroom::journal`).

use std::collections::HashMap;

use sqlx::{Row, SqliteConnection};
use wardroom::{
    Timestamp,
    journal::{line_digest, lines_digest, link_hash},
    port::store::{Line, Link, LinkKind, StoreError},
};

use crate::{
    convert::{store, time, word},
    write,
};

/// How many tips are remembered at most; who is not remembered is read.
const REMEMBERED: usize = 4096;

/// Where a job's journal ends.
#[derive(Debug, Clone)]
pub(crate) struct Tip {
    /// How many entries there are.
    pub(crate) entries: u32,
    /// The hash of the last one, empty where there is none.
    pub(crate) hash: String,
    /// Whether the job is open.
    pub(crate) open: bool,
    /// Whether its row does not say so yet.
    pub(crate) changed: bool,
}

/// The newest link, or 0 and nothing.
#[derive(Debug, Clone, Default)]
struct Head {
    number: u64,
    hash: String,
}

/// What is on disk, as far as it is remembered.
#[derive(Debug, Default)]
pub(crate) struct Chain {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
}

/// What one transaction makes of it.
#[derive(Debug, Default)]
pub(crate) struct Draft<'w> {
    head: Option<Head>,
    tips: HashMap<String, Tip>,
    /// Lines that share a link, which is added last.
    lines: Vec<&'w Line>,
    /// Jobs that the list at work opened.
    opened: Vec<&'w str>,
}

impl Chain {
    /// Remembers what was committed.
    pub(crate) fn adopt(&mut self, draft: Draft<'_>) {
        if self.tips.len() > REMEMBERED {
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

impl<'w> Draft<'w> {
    /// The tip of a job; `None` where there is no such job.
    pub(crate) async fn tip(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &Chain,
        job: &str,
    ) -> Result<Option<&mut Tip>, StoreError> {
        if !self.tips.contains_key(job) {
            let tip = match chain.tips.get(job) {
                Some(tip) => Some(tip.clone()),
                None => read(connection, job).await?,
            };
            let Some(tip) = tip else { return Ok(None) };
            self.tips.insert(job.to_owned(), tip);
        }
        Ok(self.tips.get_mut(job))
    }

    /// The tip of a job that must be open.
    pub(crate) async fn open(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &Chain,
        job: &str,
    ) -> Result<&mut Tip, StoreError> {
        match self.tip(connection, chain, job).await? {
            Some(tip) if tip.open => Ok(tip),
            _ => Err(StoreError::Failed(format!("job `{job}` is not open"))),
        }
    }

    /// A job was opened; its first entry must follow.
    pub(crate) fn opened(&mut self, job: &'w str) {
        self.tips.insert(job.to_owned(), Tip { entries: 0, hash: String::new(), open: true, changed: false });
        self.opened.push(job);
    }

    /// A line that shares a link with the others of the transaction.
    pub(crate) fn gather(&mut self, line: &'w Line) {
        self.lines.push(line);
    }

    /// Adds a link and gives its number.
    pub(crate) async fn link(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &Chain,
        kind: LinkKind,
        subject: &str,
        digest: &str,
        at: Timestamp,
    ) -> Result<u64, StoreError> {
        let head = match self.head.take().or_else(|| chain.head.clone()) {
            Some(head) => head,
            None => newest(connection).await?,
        };
        let (subject, digest) = (subject.to_owned(), digest.to_owned());
        let mut link = Link { number: head.number + 1, kind, subject, digest, at, hash: String::new() };
        link.hash = link_hash(&head.hash, &link);
        sqlx::query("insert into link (number, kind, subject, digest, at, hash) values (?, ?, ?, ?, ?, ?)")
            .bind(i64::try_from(link.number).unwrap_or(i64::MAX))
            .bind(word(&link.kind)?)
            .bind(&link.subject)
            .bind(&link.digest)
            .bind(time(link.at))
            .bind(&link.hash)
            .execute(connection)
            .await
            .map_err(|error| store(&error))?;
        let number = link.number;
        self.head = Some(Head { number, hash: link.hash });
        Ok(number)
    }

    /// Adds a link for lines, and the lines.
    pub(crate) async fn link_lines(
        &mut self,
        connection: &mut SqliteConnection,
        chain: &Chain,
        kind: LinkKind,
        lines: &[&Line],
    ) -> Result<(), StoreError> {
        let Some(at) = lines.iter().map(|line| line.at).max() else { return Ok(()) };
        let digest = lines_digest(lines.iter().map(|line| line_digest(line)));
        let link = self.link(connection, chain, kind, "", &digest, at).await?;
        for line in lines {
            write::line(connection, line, link).await?;
        }
        Ok(())
    }

    /// The end of a list: what must not be left half done within one.
    pub(crate) fn end_list(&mut self) -> Result<(), StoreError> {
        for job in std::mem::take(&mut self.opened) {
            if self.tips.get(job).is_none_or(|tip| tip.entries == 0) {
                return Err(StoreError::Failed(format!("job `{job}` was opened without its first entry")));
            }
        }
        Ok(())
    }

    /// The end of the transaction: the lines with their link, and the tips that changed.
    pub(crate) async fn end(&mut self, connection: &mut SqliteConnection, chain: &Chain) -> Result<(), StoreError> {
        let lines = std::mem::take(&mut self.lines);
        self.link_lines(connection, chain, LinkKind::Lines, &lines).await?;
        for (job, tip) in self.tips.iter_mut().filter(|(_, tip)| tip.changed) {
            sqlx::query("update job set entries = ?, tip = ? where id = ?")
                .bind(tip.entries)
                .bind(&tip.hash)
                .bind(job)
                .execute(&mut *connection)
                .await
                .map_err(|error| store(&error))?;
            tip.changed = false;
        }
        Ok(())
    }
}

async fn read(connection: &mut SqliteConnection, job: &str) -> Result<Option<Tip>, StoreError> {
    let row = sqlx::query("select entries, tip, ended is null from job where id = ?")
        .bind(job)
        .fetch_optional(connection)
        .await
        .map_err(|error| store(&error))?;
    let tip = |row: sqlx::sqlite::SqliteRow| {
        Ok(Tip { entries: row.try_get(0)?, hash: row.try_get(1)?, open: row.try_get(2)?, changed: false })
    };
    row.map(tip).transpose().map_err(|error| store(&error))
}

async fn newest(connection: &mut SqliteConnection) -> Result<Head, StoreError> {
    let row: Option<(i64, String)> = sqlx::query_as("select number, hash from link order by number desc limit 1")
        .fetch_optional(connection)
        .await
        .map_err(|error| store(&error))?;
    Ok(row.map(|(number, hash)| Head { number: u64::try_from(number).unwrap_or(0), hash }).unwrap_or_default())
}
