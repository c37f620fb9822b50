//! The only writer of a store's database. If several lists of writes are queued, they share one transaction and one
//! sync to disk.
//!
//! [`Writer::commit`] waits until its list is stored. [`Writer::note`] returns at once.
//!
//! Invariant: lists are stored in the order of their submission. Each list is stored completely or not at all. If a
//! shared transaction fails, the writer stores each list in its own transaction, so that only the invalid lists fail.
//! Invariant: the state folder stays locked until the writing connection is closed.
//! Not here: running a transaction (`transaction.rs`).

mod task;

use std::sync::{
    Arc,
    atomic::{AtomicU64, AtomicUsize, Ordering},
};

use sqlx::SqliteConnection;
use tokio::sync::{mpsc, oneshot};
use wardroom::{
    Timestamp,
    store::{InboxKey, Removed, StoreError, Write},
};

use crate::{lock::FolderLock, transaction::WriteConnection};
use task::WriterTask;

type CommitResult = Result<Vec<InboxKey>, StoreError>;

enum Request {
    Write(List),
    Remove(Removal),
    Close(oneshot::Sender<()>),
}

struct List {
    writes: Vec<Write>,
    /// Sends the result to the caller of [`Writer::commit`]. `None` for a list that was passed to [`Writer::note`],
    /// whose caller gets no result.
    reply: Option<oneshot::Sender<CommitResult>>,
}

/// A request to remove one batch of old data, see [`crate::retention`].
struct Removal {
    before: Timestamp,
    loaded: Vec<String>,
    reply: oneshot::Sender<Result<Removed, StoreError>>,
}

/// Submits requests to the task that owns the writing connection.
#[derive(Debug)]
pub(crate) struct Writer {
    queue: mpsc::UnboundedSender<Request>,
    /// Number of lists of writes that were passed to [`Writer::note`] and are not stored yet.
    pending_notes: Arc<AtomicUsize>,
    committed: Arc<AtomicU64>,
}

impl Writer {
    /// Starts the writer's task, which owns `connection`. The task holds `lock` until it has closed the connection.
    pub(crate) fn start(connection: SqliteConnection, lock: impl Into<Option<FolderLock>>) -> Self {
        let (queue, requests) = mpsc::unbounded_channel();
        let committed = Arc::new(AtomicU64::new(0));
        let pending_notes = Arc::new(AtomicUsize::new(0));
        let task = WriterTask {
            connection: WriteConnection::new(connection, committed.clone()),
            requests,
            unwritten: Vec::new(),
            closing: Vec::new(),
            pending_notes: pending_notes.clone(),
        };
        tokio::spawn(task.run(lock.into()));
        Self { queue, pending_notes, committed }
    }

    /// Submits a list of writes and waits until its transaction has ended. If the caller is cancelled, the list is
    /// still written. Returns the inbox keys of the messages that the store did not have before.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> CommitResult {
        let (reply, result) = oneshot::channel();
        self.queue.send(Request::Write(List { writes, reply: Some(reply) })).map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Submits a list of writes and returns at once, without a result. If the store is closed, the list is lost, and an
    /// error is logged.
    pub(crate) fn note(&self, writes: Vec<Write>) {
        // Count the list before sending it, so that a later `flush` waits for it.
        self.pending_notes.fetch_add(1, Ordering::SeqCst);
        if self.queue.send(Request::Write(List { writes, reply: None })).is_err() {
            tracing::error!("an audit record or journal entry is lost, because the database is already closed");
        }
    }

    /// Waits until the writer has tried to store the lists of writes from all earlier [`Self::note`] calls.
    ///
    /// # Errors
    /// The writer cannot begin a transaction, or the store is closed.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        if self.pending_notes.load(Ordering::SeqCst) == 0 { Ok(()) } else { self.commit(Vec::new()).await.map(drop) }
    }

    /// Removes one batch of the data that is older than `before`, and waits for the result. Keeps the files of the
    /// loaded plugins, whose digests are in `loaded`.
    pub(crate) async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        let (reply, result) = oneshot::channel();
        let removal = Removal { before, loaded: loaded.to_vec(), reply };
        self.queue.send(Request::Remove(removal)).map_err(|_| closed())?;
        result.await.map_err(|_| closed())?
    }

    /// Stores all submitted lists of writes, then closes the connection and unlocks the state folder. A list that
    /// cannot be stored is lost. Does nothing if the connection is already closed.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Request::Close(reply)).is_ok() {
            // An error means that the task has already ended.
            let _ = closed.await;
        }
    }

    pub(crate) fn transactions(&self) -> u64 {
        self.committed.load(Ordering::Relaxed)
    }
}

fn closed() -> StoreError {
    StoreError::Failed("the store is closed".into())
}

#[cfg(test)]
mod tests;
