//! The [`Store`] trait: inbox, outbox, journal, releases, and the plugins' values.
//!
//! Every change is a list of [`Write`]s, and a list is one transaction. [`Store::commit`] returns after the whole list
//! is on disk, or fails without a change. [`Store::note`] only queues a list: a crash may lose it.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    jobs::{DeploymentLock, JobEnd, JobPhase, JobQuery, JobRow, JobStatus},
    journal::{AuditRecord, Entry, HashedEntry, Link, Removed, Usage},
    messages::{InboxKey, InboxRow, OutboxRow, PendingRow, RoomCursor},
    releases::{Release, ReleaseQuery},
    rights::{Freeze, Grant},
};

/// The extra time for which deduplication keys ([`Write::ReceiveOnce`]) are kept after the retention of messages: 366 days.
pub const DEDUPLICATION_RETENTION: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// A change. A list of them is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Stores a message. Ignored if its key exists.
    Receive(InboxRow),
    /// Stores a message with its announcements, unless the deduplication key exists: for a redelivery that can arrive
    /// under another event id, such as a webhook delivery. Keys are kept for a year longer than messages.
    ReceiveOnce {
        /// The deduplication key. It is unique over all rooms.
        key: String,
        /// The time of receipt by the host's clock: the message's own time is set by its sender.
        received: Timestamp,
        /// The message.
        row: InboxRow,
        /// The announcements of the message.
        announcements: Vec<OutboxRow>,
    },
    /// Marks a message as handled.
    Handled(InboxKey),
    /// Sets the read cursor of a room.
    SetCursor(RoomCursor),
    /// Queues a message in the outbox.
    Send(OutboxRow),
    /// Marks a version of an outbox row as sent.
    Sent {
        /// The row's key.
        key: String,
        /// The version of its text.
        version: u64,
        /// The event id; `None` if it can never be sent.
        event: Option<String>,
    },
    /// Opens a job. Its entry 0 must follow in the same list, which also adds the opening link to the chain.
    Open(JobRow),
    /// Sets the status of an open job.
    JobStatus {
        /// The job's id.
        job: String,
        /// The new status.
        status: JobStatus,
    },
    /// Gives a deployment lock to a job. Fails if another job holds it, or if the job is not open.
    Lock {
        /// The lock to give.
        lock: DeploymentLock,
        /// The job's id.
        job: String,
    },
    /// Closes a job: releases its locks, and adds the closing link to the chain.
    Close {
        /// The job's id.
        job: String,
        /// The end of the job.
        end: JobEnd,
    },
    /// Appends an entry to the journal of an open job. Its number must be the next one.
    Append(Entry),
    /// Stores a blob: a large body, or a plugin's bytes. Ignored if the digest exists.
    StoreBlob {
        /// [`crate::store::digest`] of the bytes.
        digest: String,
        /// The content of the blob.
        bytes: Vec<u8>,
    },
    /// Stores the audit record of a query or a refusal. The queries of one transaction share a link of the chain; each
    /// refusal has its own.
    AuditRecord(AuditRecord),
    /// Stores a release.
    Release(Release),
    /// Stores a grant. Ignored if its id exists.
    Grant(Grant),
    /// Revokes a grant, by its id.
    Revoke(String),
    /// Freezes an environment.
    Freeze(Freeze),
    /// Lifts the freeze of an environment, by name.
    Unfreeze(String),
    /// Sets a value of a plugin.
    SetValue {
        /// The plugin's name.
        plugin: String,
        /// The key, unique within the plugin.
        key: String,
        /// The new value.
        value: Vec<u8>,
    },
    /// Deletes a value of a plugin.
    DeleteValue {
        /// The plugin's name.
        plugin: String,
        /// The key, unique within the plugin.
        key: String,
    },
}

/// The errors of a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or the database is busy. Nothing was changed; a retry can succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A permanent error. A retry fails too.
    #[error("the database failed: {0}")]
    Failed(String),
}

/// The database of a host.
///
/// ```
/// use wardroom::{prelude::*, store::JobQuery};
///
/// # async fn open(store: &dyn Store) -> anyhow::Result<()> {
/// let open = store.jobs(&JobQuery { open: Some(true), ..JobQuery::default() }).await?;
/// println!("{} open jobs", open.len());
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes all of these changes or none. They are on disk when it returns. Returns the keys of the messages that were
    /// new.
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError>;

    /// Queues changes for the next transaction without waiting. They keep their order relative to later commits. A
    /// crash may lose them.
    fn note(&self, writes: Vec<Write>);

    /// The messages that were not handled yet, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError>;

    /// A bot's read cursor of a room; `None` if the bot was never in it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError>;

    /// The outbox rows that were not sent yet, in the order in which they were queued.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError>;

    /// The key of the outbox row that was sent as this event; `None` if the host did not send it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError>;

    /// The event id of a sent outbox row; `None` if it was not sent.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// The job with this id, open or ended.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError>;

    /// The jobs that match a query, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError>;

    /// The open jobs whose wake time has come, the earliest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError>;

    /// The earliest wake time of an open job.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The number of open jobs per phase. Phases without jobs are left out.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError>;

    /// The deployment locks that are held, with the ids of the jobs that hold them.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError>;

    /// A job's journal, in order, including noted entries.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError>;

    /// The number of a job's entries and the hash of the last one, as they were stored with it; `None` if there is no
    /// such job.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError>;

    /// The time of the newest entry or link. Used to detect a clock that was set back before a restart.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// The blob with this digest.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The links of the chain after this number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError>;

    /// The audit records that a link covers, in order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError>;

    /// Removes one batch of rows that expired before a time: closed jobs with their entries, audit records, handled
    /// messages, sent messages, and blobs that nothing refers to any more, except for the digests in `loaded`.
    /// Deduplication keys expire a year later. Links, releases, cursors and plugins' values are never removed, and a
    /// link that records the removal is added. A job with unsent messages is kept, and so are the messages of a job
    /// that is kept.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError>;

    /// The releases that match a query, the newest first. Not limited: the caller filters by rights before it
    /// truncates.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError>;

    /// The grants that were not revoked, including expired ones, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn grants(&self) -> Result<Vec<Grant>, StoreError>;

    /// The freezes that were not lifted, including expired ones, by environment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError>;

    /// A plugin's value.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// A plugin's values whose keys begin with a prefix, in the byte order of the keys, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// The number of calls of each plugin, by call.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self) -> Result<Vec<Usage>, StoreError>;
}
