//! The one writer: lists that wait at the same moment share a transaction and its sync.
//!
//! Architecture Invariant: lists are written in the order in which they were handed over, and each is written
//! as a whole or not at all. If a shared transaction fails, each of its lists has one of its own, so that a
//! bad one fails alone.
//! Architecture Invariant: the folder's lock lives as long as the writing connection.
//! Not here: the transactions themselves (`ledger`).

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use sqlx::SqliteConnection;
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use wardroom::{
    Timestamp,
    port::store::{InboxKey, Removed, StoreError, Write},
};

use crate::{
    ledger::{Broken, Ledger},
    lock::Lock,
};

/// How many lists share a transaction at most.
const LARGEST: usize = 1000;
/// How long notes wait for company; a commit takes them along at once.
const LINGER: Duration = Duration::from_millis(50);
/// How long until notes that could not be written are tried again.
const RETRY: Duration = Duration::from_secs(2);
/// How many lists of notes are kept for another try while nothing can be written.
const LATE: usize = 10_000;

type Answer = Result<Vec<InboxKey>, StoreError>;

enum Ask {
    Commit(Vec<Write>, oneshot::Sender<Answer>),
    Note(Vec<Write>),
    Remove(Removal),
    Close(oneshot::Sender<()>),
}

/// What is to be removed, and who waits for it.
struct Removal {
    before: Timestamp,
    loaded: Vec<String>,
    reply: oneshot::Sender<Result<Removed, StoreError>>,
}

/// One list, and who waits for it; nobody does for a note.
struct Part {
    writes: Vec<Write>,
    reply: Option<oneshot::Sender<Answer>>,
}

/// What is to be written now.
#[derive(Default)]
struct Gathered {
    parts: Vec<Part>,
    /// What is to be removed then.
    removals: Vec<Removal>,
    /// Nothing comes after these.
    last: bool,
}

/// The way to the writer.
#[derive(Debug)]
pub(crate) struct Group {
    queue: mpsc::UnboundedSender<Ask>,
    /// How many notes were handed over and are not written.
    notes: Arc<AtomicUsize>,
    transactions: Arc<AtomicU64>,
}

impl Group {
    /// Starts the writer on a connection; it holds the lock, if there is one, until that is closed.
    pub(crate) fn start(connection: SqliteConnection, lock: impl Into<Option<Lock>>) -> Self {
        let (queue, asks) = mpsc::unbounded_channel();
        let transactions = Arc::new(AtomicU64::new(0));
        let notes = Arc::new(AtomicUsize::new(0));
        let writer = Writer {
            ledger: Ledger::new(connection, transactions.clone()),
            asks,
            late: Vec::new(),
            closing: Vec::new(),
            notes: notes.clone(),
        };
        tokio::spawn(writer.work(lock.into()));
        Self { queue, notes, transactions }
    }

    /// Writes a list with the next group. Once handed over it is written also if nobody waits any more.
    pub(crate) async fn commit(&self, writes: Vec<Write>) -> Answer {
        let (reply, answer) = oneshot::channel();
        let closed = || StoreError::Failed("it is closed".into());
        self.queue.send(Ask::Commit(writes, reply)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Hands a list over.
    pub(crate) fn note(&self, writes: Vec<Write>) {
        // Counted first, so that nobody who comes after this finds none.
        self.notes.fetch_add(1, Ordering::SeqCst);
        if self.queue.send(Ask::Note(writes)).is_err() {
            tracing::error!("a note was not kept: the store is closed");
        }
    }

    /// Waits until what was noted before is written, or could not be.
    pub(crate) async fn flush(&self) -> Result<(), StoreError> {
        if self.notes.load(Ordering::SeqCst) == 0 { Ok(()) } else { self.commit(Vec::new()).await.map(drop) }
    }

    /// Removes some of what was over before a moment.
    pub(crate) async fn remove(&self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        let (reply, answer) = oneshot::channel();
        let closed = || StoreError::Failed("it is closed".into());
        let removal = Removal { before, loaded: loaded.to_vec(), reply };
        self.queue.send(Ask::Remove(removal)).map_err(|_| closed())?;
        answer.await.map_err(|_| closed())?
    }

    /// Writes what was handed over and closes the connection. Nothing is left to do where that was done before.
    pub(crate) async fn close(&self) {
        let (reply, closed) = oneshot::channel();
        if self.queue.send(Ask::Close(reply)).is_ok() {
            // An error means that the writer ended before it came to this.
            let _ = closed.await;
        }
    }

    /// How many transactions were committed.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }
}

struct Writer {
    ledger: Ledger,
    asks: mpsc::UnboundedReceiver<Ask>,
    /// Notes that could not be written yet, oldest first.
    late: Vec<Part>,
    /// Who waits for the end.
    closing: Vec<oneshot::Sender<()>>,
    notes: Arc<AtomicUsize>,
}

impl Writer {
    async fn work(mut self, lock: Option<Lock>) {
        loop {
            let gathered = self.gather().await;
            self.write(gathered.parts).await;
            for Removal { before, loaded, reply } in gathered.removals {
                // Whoever asked may have gone.
                let _ = reply.send(self.ledger.remove(before, &loaded).await);
            }
            if gathered.last {
                break;
            }
        }
        if !self.late.is_empty() {
            tracing::error!("{} notes were not kept: the store could not write until it was closed", self.late.len());
        }
        if let Err(error) = self.ledger.close().await {
            tracing::warn!(%error, "the store was not closed cleanly; the next start repairs it");
        }
        drop(lock);
        for closing in self.closing {
            // Whoever asked may have gone.
            let _ = closing.send(());
        }
    }

    /// Waits for something to write and takes all that is there. Notes alone linger a little for company.
    async fn gather(&mut self) -> Gathered {
        let mut gathered = Gathered { parts: std::mem::take(&mut self.late), ..Gathered::default() };
        let mut next = if gathered.parts.is_empty() {
            self.asks.recv().await
        } else {
            match timeout(RETRY, self.asks.recv()).await {
                Ok(ask) => ask,
                Err(_) => return gathered,
            }
        };
        let until = Instant::now() + LINGER;
        let mut urgent = false;
        loop {
            match next {
                Some(Ask::Commit(writes, reply)) => {
                    urgent = true;
                    gathered.parts.push(Part { writes, reply: Some(reply) });
                }
                Some(Ask::Note(writes)) => gathered.parts.push(Part { writes, reply: None }),
                Some(Ask::Remove(removal)) => {
                    urgent = true;
                    gathered.removals.push(removal);
                }
                Some(Ask::Close(reply)) => {
                    // Later asks find the queue closed; those that are in it already are still served.
                    self.asks.close();
                    self.closing.push(reply);
                    urgent = true;
                }
                None => {
                    gathered.last = true;
                    return gathered;
                }
            }
            if gathered.parts.len() >= LARGEST {
                return gathered;
            }
            next = if urgent {
                match self.asks.try_recv() {
                    Ok(ask) => Some(ask),
                    Err(mpsc::error::TryRecvError::Disconnected) => None,
                    Err(mpsc::error::TryRecvError::Empty) => return gathered,
                }
            } else {
                match timeout_at(until, self.asks.recv()).await {
                    Ok(ask) => ask,
                    Err(_) => return gathered,
                }
            };
        }
    }

    /// Writes lists in one transaction, or each in its own where that fails.
    async fn write(&mut self, parts: Vec<Part>) {
        match self.transaction(&parts).await {
            Ok(answers) => {
                for (part, answer) in parts.into_iter().zip(answers) {
                    self.answer(part, Ok(answer));
                }
            }
            Err(Broken::Within(_)) if parts.len() > 1 => self.write_alone(parts).await,
            Err(Broken::Within(error) | Broken::AtBegin(error)) => {
                for part in parts {
                    self.answer(part, Err(error.clone()));
                }
            }
        }
    }

    async fn write_alone(&mut self, parts: Vec<Part>) {
        let mut busy = None;
        for part in parts {
            if let Some(error) = &busy {
                // One wait for the other process is enough.
                self.answer(part, Err(StoreError::clone(error)));
                continue;
            }
            let answer = match self.transaction(slice::from_ref(&part)).await {
                Ok(mut answers) => Ok(answers.pop().unwrap_or_default()),
                Err(Broken::Within(error)) => Err(error),
                Err(Broken::AtBegin(error)) => {
                    busy = Some(error.clone());
                    Err(error)
                }
            };
            self.answer(part, answer);
        }
    }

    async fn transaction(&mut self, parts: &[Part]) -> Result<Vec<Vec<InboxKey>>, Broken> {
        let lists: Vec<&[Write]> = parts.iter().map(|part| part.writes.as_slice()).collect();
        self.ledger.write(&lists).await
    }

    /// Tells who waits. A note for which there was no room is kept for another try, and what fails behind it may have
    /// failed for the lack of it.
    fn answer(&mut self, part: Part, answer: Answer) {
        let answer = match answer {
            Err(StoreError::Failed(reason)) if !self.late.is_empty() => Err(StoreError::Unavailable(reason)),
            answer => answer,
        };
        match (part.reply, answer) {
            (Some(reply), answer) => {
                // Whoever asked may have gone.
                let _ = reply.send(answer);
            }
            (None, Ok(_)) => drop(self.notes.fetch_sub(1, Ordering::SeqCst)),
            (None, Err(StoreError::Unavailable(_))) if self.late.len() < LATE => {
                self.late.push(Part { writes: part.writes, reply: None });
            }
            (None, Err(error)) => {
                self.notes.fetch_sub(1, Ordering::SeqCst);
                tracing::error!(%error, "a note was not kept");
            }
        }
    }
}

#[cfg(test)]
mod tests;
