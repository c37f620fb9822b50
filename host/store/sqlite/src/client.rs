//! The store itself: one writer, a few readers, one host.

use std::path::Path;

use async_trait::async_trait;
use sqlx::SqlitePool;
use wardroom::{
    Timestamp,
    port::{
        Store, StoreError,
        store::{
            Freeze, Grant, InboxKey, InboxRow, JobQuery, JobRow, Line, Link, Mark, PendingRow, Phase, Place, Release,
            ReleaseQuery, Removed, Sealed, Usage, Write,
        },
    },
};

use crate::{Claim, OpenError, group::Group, machine, open, query};

/// A [`Store`] in one SQLite file.
///
/// Must be made and used on a tokio runtime. Dropping it writes what was noted if the runtime still runs;
/// [`SqliteStore::close`] makes sure.
#[derive(Debug)]
pub struct SqliteStore {
    // `None` where it was opened for reading only.
    writer: Option<Group>,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens a database to work on it, and makes it where there is none: its folder for this user alone (0700),
    /// the file too (0600). The folder belongs to this process until the store is closed or the process ends.
    ///
    /// # Errors
    /// [`OpenError::InUse`] where another host has the folder, [`OpenError::OtherMachine`] where another machine used
    /// the database, [`OpenError::Newer`] for a newer build's database, else what kept it from being opened.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &Claim { machine: machine(), adopt: false }).await
    }

    /// The same, and takes over a database that another machine used.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`], without [`OpenError::OtherMachine`].
    pub async fn open_adopting(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &Claim { machine: machine(), adopt: true }).await
    }

    /// The same, by a claim that says which machine this is.
    ///
    /// # Errors
    /// As for [`SqliteStore::open`].
    pub async fn open_as(path: &Path, claim: &Claim) -> Result<Self, OpenError> {
        let (connection, lock) = open::writing(path, claim).await?;
        Ok(Self { writer: Some(Group::start(connection, lock)), readers: open::reading(path) })
    }

    /// Opens a database to look at it, also while a host works on it. Every commit answers [`StoreError::Failed`].
    ///
    /// # Errors
    /// [`OpenError::Missing`] where there is none, [`OpenError::Newer`] and [`OpenError::Older`] for another
    /// build's database, else what kept it from being opened.
    pub async fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        open::readable(path).await?;
        Ok(Self { writer: None, readers: open::reading(path) })
    }

    /// Waits until what was noted is written, where this store writes.
    async fn flush(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.flush().await,
            None => Ok(()),
        }
    }

    /// How many transactions were committed since it was opened. Far below the number of commits where many
    /// come at once.
    pub fn transactions(&self) -> u64 {
        self.writer.as_ref().map_or(0, Group::transactions)
    }

    /// Writes what was noted, closes the database and lets go of its folder. Whatever is asked of the store
    /// from then on fails.
    pub async fn close(&self) {
        // Readers first: the last connection to go tidies up the log of writes, and readers cannot.
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        match &self.writer {
            Some(writer) => writer.commit(writes).await,
            None => Err(StoreError::Failed("it was opened for reading only".into())),
        }
    }

    fn note(&self, writes: Vec<Write>) {
        match &self.writer {
            Some(writer) => writer.note(writes),
            None => tracing::error!("a note was not kept: the store was opened for reading only"),
        }
    }

    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError> {
        query::waiting(&self.readers).await
    }

    async fn mark(&self, bot: &str, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        query::mark(&self.readers, bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        query::outbox(&self.readers).await
    }

    async fn sent_event(&self, key: &str) -> Result<Option<String>, StoreError> {
        query::sent_event(&self.readers, key).await
    }

    async fn sent_as(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        query::sent_as(&self.readers, network, event).await
    }

    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError> {
        query::job(&self.readers, id).await
    }

    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError> {
        query::jobs(&self.readers, query).await
    }

    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError> {
        query::due(&self.readers, now, limit).await
    }

    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError> {
        query::next_wake(&self.readers).await
    }

    async fn open_jobs(&self) -> Result<Vec<(Phase, u64)>, StoreError> {
        query::open_jobs(&self.readers).await
    }

    async fn places(&self) -> Result<Vec<(Place, String)>, StoreError> {
        query::places(&self.readers).await
    }

    async fn entries(&self, job: &str) -> Result<Vec<Sealed>, StoreError> {
        self.flush().await?;
        query::entries(&self.readers, job).await
    }

    async fn tip(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.flush().await?;
        query::tip(&self.readers, job).await
    }

    async fn newest(&self) -> Result<Option<Timestamp>, StoreError> {
        query::newest(&self.readers).await
    }

    async fn beside(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        query::beside(&self.readers, digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        query::links(&self.readers, after, limit).await
    }

    async fn lines(&self, link: u64) -> Result<Vec<Line>, StoreError> {
        query::lines(&self.readers, link).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        match &self.writer {
            Some(writer) => writer.remove(before, loaded).await,
            None => Err(StoreError::Failed("it was opened for reading only".into())),
        }
    }

    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError> {
        query::releases(&self.readers, query).await
    }

    async fn grants(&self) -> Result<Vec<Grant>, StoreError> {
        query::grants(&self.readers).await
    }

    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError> {
        query::freezes(&self.readers).await
    }

    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError> {
        query::value(&self.readers, plugin, key).await
    }

    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError> {
        query::values(&self.readers, plugin, prefix, limit).await
    }

    async fn usage(&self) -> Result<Vec<Usage>, StoreError> {
        query::usage(&self.readers).await
    }
}
