//! The [`Store`] trait, which the adapter of each database implements, and the changes that a store can make
//! ([`Write`]).
//!
//! A list of [`Write`]s is one transaction. [`Store::commit`] returns after the whole list is on disk. If it fails, the
//! store is unchanged. [`Store::note`] only queues a list of changes, and a crash may lose them.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    jobs::{DeploymentLock, JobEnd, JobPhase, JobQuery, JobRow, JobStatus},
    journal::{AuditRecord, CallCount, Entry, HashedEntry, Link, Removed},
    messages::{InboxKey, InboxRow, OutboxRow, PendingRow, RoomCursor},
    releases::{Release, ReleaseQuery},
    rights::{Freeze, Grant, IdentityLink},
};

/// A change of the store. A list of changes is one transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// Stores a received message as unhandled. Ignored if the store has a message with the same inbox key.
    Receive(InboxRow),
    /// Stores a message that a webhook delivered, and queues the messages that announce it. Ignored if the store
    /// already has the deduplication key, and received it within `window`: the webhook was then delivered before. The event id cannot detect this,
    /// because a second delivery can have another event id. See [`Write::DEDUPLICATION_RETENTION`].
    ReceiveOnce {
        /// The deduplication key, which is unique over all rooms.
        key: String,
        /// The time at which the host received the message. The retention of the deduplication key starts at this time.
        received: Timestamp,
        /// The time after which a message with the same key counts as new and renews the key; `None` for never.
        window: Option<Duration>,
        /// The received message.
        row: InboxRow,
        /// The messages that tell rooms that the webhook started a command.
        announcements: Vec<OutboxRow>,
    },
    /// Marks the received message with this inbox key as handled.
    Handled(InboxKey),
    /// Sets a bot's read cursor in a room: the position up to which the bot has read the room. Ignored if the stored
    /// cursor has a later time.
    SetCursor(RoomCursor),
    /// Queues a message in the outbox. If the outbox already has a row with the same key, see [`OutboxRow::key`].
    Send(OutboxRow),
    /// Records that the host sent an outbox message, or that the message can never be sent.
    Sent {
        /// The key of the outbox row.
        key: String,
        /// The version of the text that was sent, from [`PendingRow::version`]. The text may have changed since.
        version: u64,
        /// The event id of the sent message; `None` if the message can never be sent.
        event: Option<String>,
    },
    /// Stores a new open job. The same transaction must also append the job's first journal entry. That entry adds a
    /// link of the kind [`LinkKind::Open`](super::LinkKind::Open) to the hash chain.
    Open(JobRow),
    /// Sets the status of an open job.
    JobStatus {
        /// The id of the job.
        job: String,
        /// The status that replaces the current one.
        status: JobStatus,
    },
    /// Gives a deployment lock to a job. Fails if another job holds the lock, or if the job is not open.
    Lock {
        /// The lock of an app in an environment.
        lock: DeploymentLock,
        /// The id of the job that gets the lock.
        job: String,
    },
    /// Releases a deployment lock of a job. Ignored if the job does not hold the lock. Fails if the job is not open.
    Unlock {
        /// The lock of an app in an environment.
        lock: DeploymentLock,
        /// The id of the job that holds the lock.
        job: String,
    },
    /// Closes a job and releases its deployment locks. Adds a link of the kind
    /// [`LinkKind::Close`](super::LinkKind::Close) to the hash chain.
    Close {
        /// The id of the job.
        job: String,
        /// The outcome, the time and the closing message.
        end: JobEnd,
    },
    /// Appends an entry to the journal of an open job. The number of the entry must be the next number in the journal.
    Append(Entry),
    /// Stores a blob: the large body of a journal entry, or a plugin file. Ignored if the store has a blob with this
    /// digest.
    StoreBlob {
        /// The digest of `bytes`, from [`crate::store::digest`].
        digest: String,
        /// The content of the blob: the JSON of the entry's body, or the bytes of the plugin file.
        bytes: Vec<u8>,
    },
    /// Stores the audit record of a query or of a refused command. The hash chain gets one link for all queries of a
    /// transaction, and one link for each refused command.
    AuditRecord(AuditRecord),
    /// Stores a release. Ignored if the store has a release with the same [`Release::run`].
    Release(Release),
    /// Stores a role that somebody granted in chat. Ignored if the store has a grant with the same id.
    Grant(Grant),
    /// Revokes the grant with this id.
    Revoke(String),
    /// Freezes an environment. Replaces an earlier freeze of the same environment.
    Freeze(Freeze),
    /// Lifts the freeze of the environment with this name.
    Unfreeze(String),
    /// Stores a person's account at an identity provider. Replaces the row with the same [`IdentityLink::key`].
    LinkIdentity(IdentityLink),
    /// Stores a value for a plugin. Replaces the plugin's value with the same key.
    SetValue {
        /// The name of the plugin.
        plugin: String,
        /// The key of the value, which is unique within the plugin.
        key: String,
        /// The value, in a format that the plugin defines.
        value: Vec<u8>,
    },
    /// Deletes the value of a plugin with this key, if the value exists.
    DeleteValue {
        /// The name of the plugin.
        plugin: String,
        /// The key of the value, which is unique within the plugin.
        key: String,
    },
}

impl Write {
    /// The time for which a store keeps the deduplication key of a received message ([`Write::ReceiveOnce`]) after it
    /// has removed the message: 366 days.
    pub const DEDUPLICATION_RETENTION: Duration = Duration::from_secs(366 * 24 * 60 * 60);
}

/// An error of a store.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// A temporary error: the disk is full or the database is busy. Nothing was changed; a retry can succeed.
    #[error("the database is unavailable: {0}")]
    Unavailable(String),
    /// A permanent error, for example because the store rejected a change as invalid. A retry fails too.
    #[error("the database failed: {0}")]
    Failed(String),
}

/// The database in which a host stores its data.
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
    /// Applies a list of changes in one transaction, and returns after the changes are on disk. Returns the inbox keys
    /// of the received messages in `writes` that the store did not have before.
    ///
    /// # Errors
    /// [`StoreError`] if the changes cannot be stored. Then the store is unchanged.
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError>;

    /// Queues a list of changes and returns at once. The store applies queued changes before the changes of a later
    /// commit. A crash may lose queued changes.
    fn note(&self, writes: Vec<Write>);

    /// Returns the received messages that are not handled yet, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn unhandled(&self) -> Result<Vec<InboxRow>, StoreError>;

    /// Returns the inbox rows after a position, handled or not, the oldest first, at most `limit` rows. The number of
    /// each row is its position, which is at least 1. If `after` is 0, the page begins with the lowest stored position.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read, or if a row of the page has a position below 1.
    async fn messages(&self, after: u64, limit: u32) -> Result<Vec<(u64, InboxRow)>, StoreError>;

    /// Returns whether a received message is handled; `None` if the store does not have the message.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn is_handled(&self, key: &InboxKey) -> Result<Option<bool>, StoreError>;

    /// Returns a bot's read cursor in a room: the position up to which the bot has read the room. Returns `None` if the
    /// store has no such cursor.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn cursor(&self, bot: &str, network: &str, room: &str) -> Result<Option<RoomCursor>, StoreError>;

    /// Returns the messages in the outbox whose newest text is not sent yet, in the order in which they were queued.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError>;

    /// Returns the outbox key of the message that the host sent and that has the id `event` on the network. Returns
    /// `None` if the host did not send this message.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn key_of_event(&self, network: &str, event: &str) -> Result<Option<String>, StoreError>;

    /// Returns the event id that the message with the outbox key `key` got when it was sent; `None` if it was not sent.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn event_of_key(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// Returns the deduplication key ([`Write::ReceiveOnce`]) that begins with `prefix` and was received last, with the
    /// time at which it was received. Returns `None` if the store has no such key.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn newest_deduplication_key(&self, prefix: &str) -> Result<Option<(String, Timestamp)>, StoreError>;

    /// Returns the job with this id, open or ended; `None` if the store has no such job.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError>;

    /// Returns the jobs that match a query, the newest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError>;

    /// Returns the open jobs whose wake time is at or before `now`, the earliest first, at most `limit` jobs.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError>;

    /// Returns the earliest wake time of all open jobs; `None` if no open job has a wake time.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Returns the number of open jobs in each phase. Leaves out the phases without open jobs.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError>;

    /// Returns each held deployment lock with the id of the job that holds the lock.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn locks(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError>;

    /// Returns the journal entries of a job in order, including entries that [`Store::note`] queued.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError>;

    /// Returns the number of a job's journal entries and the hash of the last entry, as stored in the row of the job.
    /// Returns `None` for an unknown job. The verification of a journal compares both values with the entries
    /// themselves.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn journal_head(&self, job: &str) -> Result<Option<(u32, String)>, StoreError>;

    /// Returns the time of the newest journal entry or link of the hash chain; `None` if the store has neither. When
    /// the host starts, it compares this time with the clock to detect a clock that was set back.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn newest_time(&self) -> Result<Option<Timestamp>, StoreError>;

    /// Returns the bytes of the blob with this digest; `None` if the store has no such blob. The caller checks that the
    /// bytes match the digest.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn blob(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the links of the hash chain with a number greater than `after`, sorted by number, at most `limit` links.
    /// If `after` is 0, the page begins with the lowest stored number.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read, or if a link of the page has a number below 1.
    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError>;

    /// Returns the audit records that the link with the number `link` covers, in the order in which they were stored.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn audit_records(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError>;

    /// Returns a description of a fault of the database itself, in one line; `None` if it has no fault. Faults are: a
    /// schema that differs from the schema of this build, for example by a view or a trigger, and a damaged file or
    /// index. With such a fault, the other methods may hide rows or return wrong ones. Reads the whole database.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn database_fault(&self) -> Result<Option<String>, StoreError>;

    /// Returns a description of a row that the verification cannot find through the hash chain, in one line; `None` if
    /// the store has no such row. Such a row is an audit record whose link is missing or covers no audit records, or a
    /// journal entry whose job is missing.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn stray_row(&self) -> Result<Option<String>, StoreError>;

    /// Removes one batch of expired rows and of unused blobs. If it removed rows, adds a link to the hash chain that
    /// records the removal.
    ///
    /// - Removed if they are from before `before`: closed jobs without unsent messages, the entries of these jobs,
    ///   audit records, handled messages and sent messages.
    /// - Kept as long as their job is kept: the inbox row that started the job, and the outbox rows of the job.
    /// - Deduplication keys are removed [`Write::DEDUPLICATION_RETENTION`] later than messages.
    /// - A blob is removed if no row refers to it and its digest is not in `loaded`. The caller passes the digests of
    ///   the loaded plugins in `loaded`.
    /// - Links, releases, read cursors, accounts at identity providers and the values of plugins are never removed.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot remove the data. Then nothing was removed.
    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError>;

    /// Returns all releases that match a query, the newest first, and at most [`ReleaseQuery::limit`].
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError>;

    /// Returns the grants that were not revoked, including expired grants, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn grants(&self) -> Result<Vec<Grant>, StoreError>;

    /// Returns the freezes that were not lifted, including expired freezes, sorted by environment.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError>;

    /// Returns the accounts at identity providers that people proved, including links that have ended, sorted by person,
    /// provider, issuer and subject.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn identity_links(&self) -> Result<Vec<IdentityLink>, StoreError>;

    /// Returns the value that a plugin stored under this key; `None` if the plugin has no such value.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// Returns the keys and values of a plugin whose keys begin with `prefix`, in the byte order of the keys, at most
    /// `limit` values.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// Returns the number of values that a plugin has stored, and the total size of their keys and values in bytes.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn values_size(&self, plugin: &str) -> Result<(u64, u64), StoreError>;

    /// Returns how often each plugin made each host call, counted over all stored jobs and queries. Each item has the
    /// plugin's name and the count of one host call.
    ///
    /// # Errors
    /// [`StoreError`] if the store cannot be read.
    async fn usage(&self) -> Result<Vec<(String, CallCount)>, StoreError>;
}
