//! The task that owns the writing connection: collects requests into batches and executes them.
//!
//! `Writer::commit` waits for the result of its list of writes. `Writer::note` returns at once. The task can therefore
//! delay a list that was passed to `note`, and retries the list if it cannot be stored.

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use wardroom::store::{InboxKey, StoreError, Write};

use super::{CommitResult, List, Removal, Request};
use crate::{
    lock::FolderLock,
    transaction::{TransactionError, WriteConnection},
};

/// Maximum number of lists of writes in one transaction.
const MAX_BATCH: usize = 1000;
/// If a batch contains only lists of writes that were passed to `Writer::note`, the writer waits this time for further
/// requests before it executes the batch. The wait ends early when a request arrives whose caller waits for the result.
const NOTE_DELAY: Duration = Duration::from_millis(50);
/// Delay before the writer retries lists of writes that were passed to `Writer::note` and could not be stored. A new
/// request ends the delay early.
const RETRY_INTERVAL: Duration = Duration::from_secs(2);
/// Maximum number of failed lists of writes from `Writer::note` that the writer keeps for a retry. If more lists fail,
/// they are lost.
const MAX_UNWRITTEN: usize = 10_000;

/// Requests that the task executes together.
#[derive(Default)]
struct Batch {
    lists: Vec<List>,
    /// Requests to remove old data. They are executed after the lists of writes of this batch.
    removals: Vec<Removal>,
    /// True if no further batch follows, because the queue of requests is closed and empty.
    last: bool,
}

pub(super) struct WriterTask {
    pub(super) connection: WriteConnection,
    pub(super) requests: mpsc::UnboundedReceiver<Request>,
    /// The lists of writes from `Writer::note` that could not be stored, oldest first. They are retried with the next
    /// batch.
    pub(super) unwritten: Vec<List>,
    /// The callers of `close`, which get their reply when the task ends.
    pub(super) closing: Vec<oneshot::Sender<()>>,
    pub(super) pending_notes: Arc<AtomicUsize>,
}

// An error of sending a reply is ignored, because the caller may have been cancelled.
impl WriterTask {
    /// Executes batches of requests until the queue is closed and empty. Then closes the connection, releases `lock`,
    /// and replies to the callers of `close`.
    pub(super) async fn run(mut self, lock: Option<FolderLock>) {
        loop {
            let batch = self.next_batch().await;
            self.write(batch.lists).await;
            for Removal { before, loaded, reply } in batch.removals {
                let _ = reply.send(self.connection.remove(before, &loaded).await);
            }
            if batch.last {
                break;
            }
        }
        if !self.unwritten.is_empty() {
            tracing::error!(
                notes = self.unwritten.len(),
                "the database is closing, and the last audit records or journal entries could not be stored; they are lost"
            );
        }
        if let Err(error) = self.connection.close().await {
            tracing::warn!(%error, "cannot close the database cleanly; the next start repairs the database");
        }
        drop(lock);
        for reply in self.closing {
            let _ = reply.send(());
        }
    }

    /// Returns the next batch: the lists of writes that must be retried, and the queued requests, up to [`MAX_BATCH`]
    /// lists.
    ///
    /// 1. Waits for the first request. If lists must be retried, this wait ends after [`RETRY_INTERVAL`].
    /// 2. Takes the other requests that are already in the queue.
    /// 3. If no caller waits for a result of the batch, waits up to [`NOTE_DELAY`] for further requests.
    async fn next_batch(&mut self) -> Batch {
        // Wait for the first request, at most RETRY_INTERVAL if lists must be retried.
        let mut batch = Batch { lists: std::mem::take(&mut self.unwritten), ..Batch::default() };
        let mut next = if batch.lists.is_empty() {
            self.requests.recv().await
        } else {
            match timeout(RETRY_INTERVAL, self.requests.recv()).await {
                Ok(request) => request,
                Err(_) => return batch,
            }
        };
        let deadline = Instant::now() + NOTE_DELAY;
        // True if a caller waits for a result of the batch.
        let mut urgent = false;
        loop {
            // Add the request to the batch.
            match next {
                Some(Request::Write(list)) => {
                    urgent |= list.reply.is_some();
                    batch.lists.push(list);
                }
                Some(Request::Remove(removal)) => {
                    urgent = true;
                    batch.removals.push(removal);
                }
                Some(Request::Close(reply)) => {
                    // Close the queue for later requests; queued ones are still executed.
                    self.requests.close();
                    self.closing.push(reply);
                    urgent = true;
                }
                None => {
                    batch.last = true;
                    return batch;
                }
            }
            if batch.lists.len() >= MAX_BATCH {
                return batch;
            }
            // Take the next queued request. If no caller waits, also wait for a further request until the deadline.
            next = if urgent {
                match self.requests.try_recv() {
                    Ok(request) => Some(request),
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                    Err(mpsc::error::TryRecvError::Empty) => return batch,
                }
            } else {
                match timeout_at(deadline, self.requests.recv()).await {
                    Ok(request) => request,
                    Err(_) => return batch,
                }
            };
        }
    }

    /// Stores lists of writes in one transaction and handles their results with [`Self::finish`]. If the transaction
    /// begins but fails, writes each list in its own transaction. If the transaction cannot begin, all lists fail.
    async fn write(&mut self, lists: Vec<List>) {
        match self.transaction(&lists).await {
            Ok(results) => {
                for (list, result) in lists.into_iter().zip(results) {
                    self.finish(list, Ok(result));
                }
            }
            Err(TransactionError::Write(_)) if lists.len() > 1 => self.write_each(lists).await,
            Err(TransactionError::Write(error) | TransactionError::Begin(error)) => {
                for list in lists {
                    self.finish(list, Err(error.clone()));
                }
            }
        }
    }

    async fn write_each(&mut self, lists: Vec<List>) {
        let mut busy: Option<StoreError> = None;
        for list in lists {
            let result = match busy.clone() {
                // Another process locks the database, and an earlier list has already waited for the lock.
                Some(error) => Err(error),
                None => match self.transaction(slice::from_ref(&list)).await {
                    Ok(mut results) => Ok(results.pop().unwrap_or_default()),
                    Err(TransactionError::Write(error)) => Err(error),
                    Err(TransactionError::Begin(error)) => Err(busy.insert(error).clone()),
                },
            };
            self.finish(list, result);
        }
    }

    async fn transaction(&mut self, lists: &[List]) -> Result<Vec<Vec<InboxKey>>, TransactionError> {
        let lists: Vec<&[Write]> = lists.iter().map(|list| list.writes.as_slice()).collect();
        self.connection.write(&lists).await
    }

    /// Handles the result of a list of writes:
    /// - If a caller waits for the result, sends it to the caller.
    /// - If no caller waits and the error is [`StoreError::Unavailable`], keeps the list for a retry. If
    ///   [`MAX_UNWRITTEN`] lists are already kept, logs the error and drops the list.
    /// - If no caller waits and the error is [`StoreError::Failed`], logs the error and drops the list.
    ///
    /// A later list can fail because it depends on a list that is kept for a retry. Therefore, while lists are kept, an
    /// error [`StoreError::Failed`] first becomes [`StoreError::Unavailable`].
    fn finish(&mut self, list: List, result: CommitResult) {
        let result = match result {
            Err(StoreError::Failed(reason)) if !self.unwritten.is_empty() => Err(StoreError::Unavailable(reason)),
            result => result,
        };
        match (list.reply, result) {
            (Some(reply), result) => {
                let _ = reply.send(result);
            }
            (None, Ok(_)) => drop(self.pending_notes.fetch_sub(1, Ordering::SeqCst)),
            (None, Err(StoreError::Unavailable(_))) if self.unwritten.len() < MAX_UNWRITTEN => {
                self.unwritten.push(List { writes: list.writes, reply: None });
            }
            (None, Err(error)) => {
                self.pending_notes.fetch_sub(1, Ordering::SeqCst);
                tracing::error!(%error, "cannot store an audit record or journal entry; it is lost");
            }
        }
    }
}
