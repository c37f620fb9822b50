//! The type [`SqliteStore`]: a store with one writing connection and a pool of reading connections.

use std::path::Path;

use async_trait::async_trait;
use sqlx::SqlitePool;
use wardroom::{
    Timestamp,
    store::{
        AuditRecord, DeploymentLock, Freeze, Grant, HashedEntry, InboxKey, InboxRow, JobPhase, JobQuery, JobRow, Link,
        PendingRow, Release, ReleaseQuery, Removed, RoomCursor, Store, StoreError, Usage, Write,
    },
};

use crate::{MachineClaim, OpenError, machine_id, open, query, writer::Writer};

/// A [`Store`] in one SQLite database file.
///
/// The store needs a tokio runtime. Call [`SqliteStore::close`] before the runtime stops. Otherwise, lists of writes
/// that were passed to [`Store::note`] shortly before may be lost.
#[derive(Debug)]
pub struct SqliteStore {
    /// The writer of the database; `None` for a read-only store.
    writer: Option<Writer>,
    readers: SqlitePool,
}

impl SqliteStore {
    /// Opens a database for a host and migrates it to the schema of this build. Creates a missing folder with mode 0700
    /// and a missing file with mode 0600. Locks the folder until the store is closed or the process ends.
    ///
    /// # Errors
    /// - [`OpenError::InUse`] if another host uses the folder.
    /// - [`OpenError::OtherMachine`] if a host on another machine used the database.
    /// - [`OpenError::Newer`] if a newer build migrated the database.
    /// - [`OpenError::Folder`] and [`OpenError::Database`] for I/O and SQLite errors.
    pub async fn open(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &MachineClaim { machine: machine_id(), adopt: false }).await
    }

    /// Opens a database like [`SqliteStore::open`], but also takes over a database that another machine used.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`] except [`OpenError::OtherMachine`].
    pub async fn open_adopting(path: &Path) -> Result<Self, OpenError> {
        Self::open_as(path, &MachineClaim { machine: machine_id(), adopt: true }).await
    }

    /// Opens a database like [`SqliteStore::open`], but with the machine id of `claim` instead of the operating
    /// system's id.
    ///
    /// # Errors
    /// The errors of [`SqliteStore::open`]. If `claim` has no machine id, or if `adopt` of `claim` is true,
    /// [`OpenError::OtherMachine`] is never returned.
    pub async fn open_as(path: &Path, claim: &MachineClaim) -> Result<Self, OpenError> {
        let (connection, lock) = open::open_writer(path, claim).await?;
        Ok(Self { writer: Some(Writer::start(connection, lock)), readers: open::reader_pool(path) })
    }

    /// Opens a database for reading, even while a host uses the database. Every commit fails with
    /// [`StoreError::Failed`].
    ///
    /// # Errors
    /// - [`OpenError::Missing`] if the file does not exist.
    /// - [`OpenError::Newer`] or [`OpenError::Older`] if a build with another schema version last migrated the
    ///   database.
    /// - [`OpenError::Folder`] and [`OpenError::Database`] for I/O and SQLite errors.
    pub async fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        open::check_readable(path).await?;
        Ok(Self { writer: None, readers: open::reader_pool(path) })
    }

    /// Waits until the writer has tried to write the lists of earlier `note` calls. Does nothing in a read-only store.
    async fn flush(&self) -> Result<(), StoreError> {
        match &self.writer {
            Some(writer) => writer.flush().await,
            None => Ok(()),
        }
    }

    /// Returns the number of transactions that were committed since the store was opened. Commits that are requested at
    /// the same time share a transaction.
    pub fn transactions(&self) -> u64 {
        self.writer.as_ref().map_or(0, Writer::transactions)
    }

    /// Writes the lists that were passed to `note`, closes the database and unlocks its folder. Reads and commits after
    /// this call fail.
    pub async fn close(&self) {
        // Close the reading connections first: the last open connection writes the write-ahead log back to the database
        // file, and a reading connection cannot write.
        self.readers.close().await;
        if let Some(writer) = &self.writer {
            writer.close().await;
        }
    }
}

fn read_only() -> StoreError {
    StoreError::Failed("the store is read-only".into())
}

#[async_trait]
impl Store for SqliteStore {
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError> {
        match &self.writer {
            Some(writer) => writer.commit(writes).await,
            None => Err(read_only()),
        }
    }

    fn note(&self, writes: Vec<Write>) {
        match &self.writer {
            Some(writer) => writer.note(writes),
            None => tracing::error!("a write is lost because the store is read-only"),
        }
    }

    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError> {
        query::unhandled(&self.readers).await
    }

    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError> {
        query::cursor(&self.readers, bot, network, room).await
    }

    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError> {
        query::outbox(&self.readers).await
    }

    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError> {
        query::event_of_key(&self.readers, key).await
    }

    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError> {
        query::key_of_event(&self.readers, network, event).await
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

    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError> {
        query::open_jobs(&self.readers).await
    }

    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError> {
        query::locks(&self.readers).await
    }

    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError> {
        self.flush().await?;
        query::entries(&self.readers, job).await
    }

    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError> {
        self.flush().await?;
        query::tip(&self.readers, job).await
    }

    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError> {
        query::newest_time(&self.readers).await
    }

    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError> {
        query::blob(&self.readers, digest).await
    }

    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError> {
        query::links(&self.readers, after, limit).await
    }

    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError> {
        query::audit_records(&self.readers, link).await
    }

    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        match &self.writer {
            Some(writer) => writer.remove(before, loaded).await,
            None => Err(read_only()),
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
