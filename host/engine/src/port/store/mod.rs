//! The database: inbox, outbox, journal, releases, and the plugins' keys.
//!
//! Everything that changes is a list of [`Write`]s, and a list is one transaction. There are two ways
//! to write: [`Store::commit`], after which the list is on disk as a whole or not at all, and [`Store::note`] for
//! what a crash may lose.

mod rows;

pub use rows::{
    CallCount, Entry, EntryKind, InboxKey, InboxRow, JobEnd, JobOutcome, JobRow, Line, Mark, OutboxRow, PendingRow,
    Purpose, Release, ReleaseQuery, Usage,
};

use async_trait::async_trait;

/// One change. A list of them is a transaction.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// A message, unless its key is there already.
    Receive(InboxRow),
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
    /// A job begins.
    Open(JobRow),
    /// A job is over.
    Close {
        /// Its id.
        job: String,
        /// How it ended.
        end: JobEnd,
    },
    /// An entry of a job's journal.
    Enter(Entry),
    /// A query's or a refusal's line.
    Line(Line),
    /// A deployment ended.
    Release(Release),
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

    /// How far a room was read; `None` where the bot never was.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn mark(&self, network: &str, room: &str) -> Result<Option<Mark>, StoreError>;

    /// What is not sent yet, in the order in which it came.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn outbox(&self) -> Result<Vec<PendingRow>, StoreError>;

    /// The jobs that are not over, oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn open_jobs(&self) -> Result<Vec<JobRow>, StoreError>;

    /// One job's journal, in its order.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn entries(&self, job: &str) -> Result<Vec<Entry>, StoreError>;

    /// Releases, newest first. Not limited: the caller filters by rights before it cuts.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn releases(&self, query: &ReleaseQuery) -> Result<Vec<Release>, StoreError>;

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
