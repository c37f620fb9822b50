//! The one writer: lists that wait at the same moment share a transaction and its sync.
//!
//! Architecture Invariant: lists are written in the order in which they were handed over, and each is written
//! as a whole or not at all. If a shared transaction fails, each of its lists has one of its own, so that a
//! bad one fails alone.
//! Architecture Invariant: the folder's lock lives as long as the writing connection.

use std::{
    slice,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use sqlx::{Connection, SqliteConnection};
use tokio::{
    sync::{mpsc, oneshot},
    time::{Instant, timeout, timeout_at},
};
use wardroom::{
    Timestamp,
    port::store::{InboxKey, Removed, StoreError, Write},
};

use crate::{
    chain::{Chain, Draft},
    convert::store,
    lock::Lock,
    remove, write,
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
    transactions: Arc<AtomicU64>,
}

impl Group {
    /// Starts the writer on a connection; it holds the lock, if there is one, until that is closed.
    pub(crate) fn start(connection: SqliteConnection, lock: impl Into<Option<Lock>>) -> Self {
        let (queue, asks) = mpsc::unbounded_channel();
        let transactions = Arc::new(AtomicU64::new(0));
        let writer = Writer {
            connection,
            chain: Chain::default(),
            asks,
            late: Vec::new(),
            closing: Vec::new(),
            transactions: transactions.clone(),
        };
        tokio::spawn(writer.work(lock.into()));
        Self { queue, transactions }
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
        if self.queue.send(Ask::Note(writes)).is_err() {
            tracing::error!("a note was not kept: the store is closed");
        }
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

/// Why a transaction was not committed.
enum Broken {
    /// It did not even begin, so no other would.
    AtBegin(StoreError),
    /// One of its lists is bad, or there is no room for all of them.
    Within(StoreError),
}

struct Writer {
    connection: SqliteConnection,
    chain: Chain,
    asks: mpsc::UnboundedReceiver<Ask>,
    /// Notes that could not be written yet, oldest first.
    late: Vec<Part>,
    /// Who waits for the end.
    closing: Vec<oneshot::Sender<()>>,
    transactions: Arc<AtomicU64>,
}

impl Writer {
    async fn work(mut self, lock: Option<Lock>) {
        loop {
            let gathered = self.gather().await;
            self.write(gathered.parts).await;
            for Removal { before, loaded, reply } in gathered.removals {
                // Whoever asked may have gone.
                let _ = reply.send(self.remove(before, &loaded).await);
            }
            if gathered.last {
                break;
            }
        }
        if !self.late.is_empty() {
            tracing::error!("{} notes were not kept: the store could not write until it was closed", self.late.len());
        }
        if let Err(error) = self.connection.close().await {
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
            (None, Ok(_)) => {}
            (None, Err(StoreError::Unavailable(_))) if self.late.len() < LATE => {
                self.late.push(Part { writes: part.writes, reply: None });
            }
            (None, Err(error)) => tracing::error!(%error, "a note was not kept"),
        }
    }

    async fn transaction(&mut self, parts: &[Part]) -> Result<Vec<Vec<InboxKey>>, Broken> {
        if parts.iter().all(|part| part.writes.is_empty()) {
            return Ok(vec![Vec::new(); parts.len()]);
        }
        // Taking the lock for writing at the start means that nothing after it finds the database busy.
        self.run("begin immediate").await.map_err(Broken::AtBegin)?;
        let mut draft = Draft::default();
        let made = make(&mut self.connection, &self.chain, &mut draft, parts).await;
        self.end(made, draft).await.map_err(Broken::Within)
    }

    /// One transaction of its own that removes some of what is over.
    async fn remove(&mut self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.run("begin immediate").await?;
        let mut draft = Draft::default();
        let removed = remove::some(&mut self.connection, &self.chain, &mut draft, before, loaded).await;
        self.end(removed, draft).await
    }

    /// Commits what was done and remembers it, or takes it back and forgets it.
    async fn end<T>(&mut self, done: Result<T, StoreError>, draft: Draft<'_>) -> Result<T, StoreError> {
        let done = match done {
            Ok(done) => self.run("commit").await.map(|()| done),
            Err(error) => Err(error),
        };
        match done {
            Ok(done) => {
                self.chain.adopt(draft);
                self.transactions.fetch_add(1, Ordering::Relaxed);
                Ok(done)
            }
            Err(error) => {
                // An error here says that SQLite has rolled back by itself.
                let _ = self.run("rollback").await;
                Err(error)
            }
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop).map_err(|error| store(&error))
    }
}

/// Makes the writes of all parts, one list after the other, and what they share.
async fn make<'w>(
    connection: &mut SqliteConnection,
    chain: &Chain,
    draft: &mut Draft<'w>,
    parts: &'w [Part],
) -> Result<Vec<Vec<InboxKey>>, StoreError> {
    let mut answers = Vec::with_capacity(parts.len());
    for part in parts {
        let mut new = Vec::new();
        for write in &part.writes {
            write::make(connection, chain, draft, write, &mut new).await?;
        }
        draft.end_list()?;
        answers.push(new);
    }
    draft.end(connection, chain).await?;
    Ok(answers)
}

#[cfg(test)]
mod tests {
    use sqlx::Row;

    use super::*;
    use crate::{Claim, open};

    fn set(key: &str, bytes: usize) -> Vec<Write> {
        vec![Write::Set { plugin: "deploy".into(), key: key.into(), value: vec![7; bytes] }]
    }

    #[tokio::test]
    async fn a_full_database_takes_what_fits_and_works_again() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("wardroom.db");
        drop(open::writing(&file, &Claim::default()).await.expect("makes the schema"));
        // SQLite's own limit gives the error of a full disk, to any user.
        let options = open::options(&file).pragma("max_page_count", "130");
        let group = Group::start(open::connect(&options).await.expect("connects"), None);

        group.commit(set("large", 250_000)).await.expect("there is room for one");
        let before = group.transactions();
        group.note(set("noted", 250_000));
        // These three share a transaction, which is too large for what is left; one of them is not.
        let (first, second, small) = tokio::join!(
            group.commit(set("first", 250_000)),
            group.commit(set("second", 250_000)),
            group.commit(set("small", 1))
        );
        for refused in [first, second] {
            assert!(matches!(&refused, Err(StoreError::Unavailable(reason)) if reason.contains("full")), "{refused:?}");
        }
        small.expect("what fits is written");
        assert_eq!(group.transactions(), before + 1);

        group.commit(vec![Write::Delete { plugin: "deploy".into(), key: "large".into() }]).await.expect("makes room");
        group.commit(set("last", 1)).await.expect("works again");
        group.close().await;
        let mut connection = open::connect(&options).await.expect("connects");
        let rows = sqlx::query("select key from value order by key").fetch_all(&mut connection).await.expect("rows");
        let keys: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
        assert_eq!(keys, ["last", "noted", "small"], "the note was kept until there was room");
    }
}
