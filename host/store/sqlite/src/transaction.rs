//! The writing connection with what it remembers: one transaction at a time.
//!
//! Architecture Invariant: what a transaction did is remembered after it was committed, and not before.
//! Not here: which lists share a transaction (`group`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{Connection, SqliteConnection};
use wardroom::{
    Timestamp,
    port::store::{InboxKey, Removed, StoreError, Write},
};

use crate::{
    chain::{Chain, Draft},
    convert::store,
    remove, write,
};

/// Why a transaction was not committed.
pub(crate) enum Broken {
    /// It did not even begin, so no other would.
    AtBegin(StoreError),
    /// One of its lists is bad, or there is no room for all of them.
    Within(StoreError),
}

pub(crate) struct Ledger {
    connection: SqliteConnection,
    chain: Chain,
    transactions: Arc<AtomicU64>,
}

impl Ledger {
    /// One that counts its transactions.
    pub(crate) fn new(connection: SqliteConnection, transactions: Arc<AtomicU64>) -> Self {
        Self { connection, chain: Chain::default(), transactions }
    }

    /// Writes lists in one transaction. Gives for each the keys of the messages that were new.
    pub(crate) async fn write(&mut self, lists: &[&[Write]]) -> Result<Vec<Vec<InboxKey>>, Broken> {
        if lists.iter().all(|list| list.is_empty()) {
            return Ok(vec![Vec::new(); lists.len()]);
        }
        // Taking the lock for writing at the start means that nothing after it finds the database busy.
        self.run("begin immediate").await.map_err(Broken::AtBegin)?;
        let mut draft = Draft::default();
        let made = make(&mut self.connection, &self.chain, &mut draft, lists).await;
        self.end(made, draft).await.map_err(Broken::Within)
    }

    /// One transaction that removes some of what was over before a moment.
    pub(crate) async fn remove(&mut self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.run("begin immediate").await?;
        let mut draft = Draft::default();
        let removed = remove::some(&mut self.connection, &self.chain, &mut draft, before, loaded).await;
        self.end(removed, draft).await
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
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
                // Where the disk itself failed, only the disk knows what is on it.
                self.chain = Chain::default();
                Err(error)
            }
        }
    }

    async fn run(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop).map_err(|error| store(&error))
    }
}

/// Makes the writes of all lists, one list after the other, and what they share.
async fn make<'w>(
    connection: &mut SqliteConnection,
    chain: &Chain,
    draft: &mut Draft<'w>,
    lists: &[&'w [Write]],
) -> Result<Vec<Vec<InboxKey>>, StoreError> {
    let mut answers = Vec::with_capacity(lists.len());
    for list in lists {
        let mut new = Vec::new();
        for write in *list {
            write::make(connection, chain, draft, write, &mut new).await?;
        }
        draft.end_list()?;
        answers.push(new);
    }
    draft.end(connection, chain).await?;
    Ok(answers)
}
