//! The database: inbox, outbox, journal, releases, and the plugins' keys.
//!
//! Everything that changes is a list of [`Write`]s, and a list is one transaction. There are two ways
//! to write: [`Store::commit`], after which the list is on disk as a whole or not at all, and [`Store::note`] for
//! what a crash may lose.

use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;

use super::{
    jobs::{DeploymentLock, JobEnd, JobPhase, JobQuery, JobRow, JobStatus},
    journal::{AuditRecord, Entry, HashedEntry, Link, Removed, Usage},
    messages::{InboxKey, InboxRow, Mark, OutboxRow, PendingRow},
    releases::{Release, ReleaseQuery},
    rights::{Freeze, Grant},
};

/// So much longer than messages the names of those are kept that come once ([`Write::Once`]).
pub const NAMES_LONGER: Duration = Duration::from_secs(366 * 24 * 60 * 60);

/// One change. A list of them is a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A message, unless its key is there already.
    Receive(InboxRow),
    /// A message with the words that announce it, unless something came under its name before: where the same can come
    /// again under another key (a delivery, an encrypted text), the name tells. Names are kept a year longer than messages.
    Once {
        /// Its name, over all rooms.
        name: String,
        /// When it came, by this host's clock: a message's own time is somebody else's word.
        came: Timestamp,
        /// The message.
        row: InboxRow,
        /// What is said with it.
        words: Vec<OutboxRow>,
    },
    /// A message was dealt with.
    Done(InboxKey),
    /// A room was read so far.
    Mark(Mark),
    /// Something to be sent.
    Say(OutboxRow),
    /// A version of a row was sent, as this event.
    Sent {
        /// The row's key.
        key: String,
        /// Which of its texts.
        version: u64,
        /// The network's id of the message; `None` where it can never be sent.
        event: Option<String>,
    },
    /// A job begins. Its first entry must follow in the same list; that one adds the link of its opening.
    Open(JobRow),
    /// An open job stands somewhere else.
    JobStatus {
        /// Its id.
        job: String,
        /// Where.
        stand: JobStatus,
    },
    /// A job takes a place. An error where another job has it, or where it is not open.
    Take {
        /// The place.
        place: DeploymentLock,
        /// The job's id.
        job: String,
    },
    /// A job is over: its places are free, and a link of its closing is added.
    Close {
        /// Its id.
        job: String,
        /// How it ended.
        end: JobEnd,
    },
    /// An entry of an open job's journal, linked to the one before it. Its number must be the next one.
    Enter(Entry),
    /// Something that stands beside: a large body, or the bytes of a plugin. Kept once.
    Keep {
        /// [`crate::store::digest`] of the bytes.
        digest: String,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// A query's or a refusal's line. Those of one transaction share a link, a refusal has one of its own.
    AuditRecord(AuditRecord),
    /// A deployment ended.
    Release(Release),
    /// Somebody was added to a role. One of the same id is left as it is.
    Grant(Grant),
    /// A grant is taken back, by its id.
    Revoke(String),
    /// An environment is frozen.
    Freeze(Freeze),
    /// An environment is no longer frozen, by its name.
    Thaw(String),
    /// A plugin keeps a value.
    Set {
        /// The plugin.
        plugin: String,
        /// The key.
        key: String,
        /// The value.
        value: Vec<u8>,
    },
    /// A plugin forgets a value.
    Delete {
        /// The plugin.
        plugin: String,
        /// The key.
        key: String,
    },
}

/// Why the store did not do what it was asked.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// The disk is full or the database is busy; nothing was changed, and it may work later.
    #[error("the store cannot write now: {0}")]
    Unavailable(String),
    /// It will not work.
    #[error("the store failed: {0}")]
    Failed(String),
}

/// A database.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Makes all of these changes, or none. On disk when this returns. Gives the keys of the messages
    /// that were new.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was changed.
    async fn commit(&self, writes: Vec<Write>) -> Result<Vec<InboxKey>, StoreError>;

    /// Hands changes over to be committed with the next group, without waiting. They keep their order
    /// against later commits; a crash may lose them.
    fn note(&self, writes: Vec<Write>);

    /// The messages that were not dealt with, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn waiting(&self) -> Result<Vec<InboxRow>, StoreError>;

    /// How far an identity read a room; `None` where it never was in it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn mark(&self, bot: &str, network: &str, room: &str) -> Result<Option<Mark>, StoreError>;

    /// What is not sent yet, in the order in which it came.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError>;

    /// The key of what was sent as this event; `None` where it is none of ours.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sent_as(&self, network: &str, event: &str) -> Result<Option<String>, StoreError>;

    /// The event that a row of the outbox was sent as; `None` where it was not sent yet, or never can be.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn sent_event(&self, key: &str) -> Result<Option<String>, StoreError>;

    /// One job, open or over.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn job(&self, id: &str) -> Result<Option<JobRow>, StoreError>;

    /// Jobs, the newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn jobs(&self, query: &JobQuery) -> Result<Vec<JobRow>, StoreError>;

    /// Open jobs whose time to be looked at has come, the earliest first, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn due(&self, now: Timestamp, limit: u32) -> Result<Vec<JobRow>, StoreError>;

    /// The earliest time at which an open job is to be looked at.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn next_wake(&self) -> Result<Option<Timestamp>, StoreError>;

    /// How many open jobs stand where; what is left out is none.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_jobs(&self) -> Result<Vec<(JobPhase, u64)>, StoreError>;

    /// The places that are held, with the jobs that hold them.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn places(&self) -> Result<Vec<(DeploymentLock, String)>, StoreError>;

    /// One job's journal, in its order. What was noted before is in it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn entries(&self, job: &str) -> Result<Vec<HashedEntry>, StoreError>;

    /// How many entries a job has, and the hash of the last one, as they were counted when it was written; `None`
    /// where there is no such job.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn tip(&self, job: &str) -> Result<Option<(u32, String)>, StoreError>;

    /// The time of the newest entry or link, for a look at the clock after a restart.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn newest(&self) -> Result<Option<Timestamp>, StoreError>;

    /// What stands beside under a digest.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn beside(&self, digest: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// The links of the chain behind this number, in their order, at most so many.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn links(&self, after: u64, limit: u32) -> Result<Vec<Link>, StoreError>;

    /// The lines that a link stands for, in their order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn lines(&self, link: u64) -> Result<Vec<AuditRecord>, StoreError>;

    /// Removes some of what was over before a moment: closed jobs with their entries, lines, messages that were
    /// dealt with, words that were sent, and what then stands beside nothing (the digests in `loaded` stay). Names of what
    /// comes once go a year later. The links stay, and one is added that says so. Releases, marks and the plugins' keys stay. A job with words that are still to
    /// be sent stays, and so do the message and the words of a job that stays.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was removed.
    async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError>;

    /// Releases, newest first. Not limited: the caller filters by rights before it cuts.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError>;

    /// What was granted in chat and not taken back, also what is past its time, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn grants(&self) -> Result<Vec<Grant>, StoreError>;

    /// The freezes that nobody lifted, also what is past its time, by environment.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn freezes(&self) -> Result<Vec<Freeze>, StoreError>;

    /// A plugin's value.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn value(&self, plugin: &str, key: &str) -> Result<Option<Vec<u8>>, StoreError>;

    /// A plugin's values whose keys begin with a prefix, in the order of the keys' bytes.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn values(&self, plugin: &str, prefix: &str, limit: u32) -> Result<Vec<(String, Vec<u8>)>, StoreError>;

    /// How often each plugin made each call.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn usage(&self) -> Result<Vec<Usage>, StoreError>;
}
