//! The connection that writes to the database. It runs one transaction at a time.
//!
//! Architecture Invariant: the cache of the hash chain takes changes only from committed transactions.
//! Not here: the choice of the lists that share a transaction (`writer/task.rs`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{Connection, SqliteConnection};
use wardroom::{
    Timestamp,
    store::{InboxKey, Removed, StoreError, Write},
};

use crate::{
    chain::{ChainCache, ChainDraft},
    convert::store_error,
    retention, write,
};

pub(crate) enum TransactionError {
    /// The transaction did not begin, for example because another process locks the database. Splitting the lists of
    /// writes over several transactions would not help.
    Begin(StoreError),
    /// A write or the commit failed, for example because a list is invalid or the disk is full. Some of the lists can
    /// succeed if each list is written in its own transaction.
    Write(StoreError),
}

pub(crate) struct WriteConnection {
    connection: SqliteConnection,
    chain: ChainCache,
    committed: Arc<AtomicU64>,
}

impl WriteConnection {
    /// `committed` is a counter that each committed transaction increments.
    pub(crate) fn new(connection: SqliteConnection, committed: Arc<AtomicU64>) -> Self {
        Self { connection, chain: ChainCache::default(), committed }
    }

    /// Executes lists of writes in one transaction. For each list, returns the inbox keys of the messages that the
    /// store did not have before.
    pub(crate) async fn write(&mut self, lists: &[&[Write]]) -> Result<Vec<Vec<InboxKey>>, TransactionError> {
        if lists.iter().all(|list| list.is_empty()) {
            return Ok(vec![Vec::new(); lists.len()]);
        }
        // `immediate` takes the write lock at once, so that no later statement fails because the database is busy.
        self.execute("begin immediate").await.map_err(TransactionError::Begin)?;
        let mut draft = ChainDraft::default();
        let written = write_lists(&mut self.connection, &self.chain, &mut draft, lists).await;
        self.finish(written, draft).await.map_err(TransactionError::Write)
    }

    /// Removes one batch of old data in one transaction, see [`retention::remove_some`].
    pub(crate) async fn remove(&mut self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.execute("begin immediate").await?;
        let mut draft = ChainDraft::default();
        let removed = retention::remove_some(&mut self.connection, &self.chain, &mut draft, before, loaded).await;
        self.finish(removed, draft).await
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Ends a transaction. If `result` is `Ok`, commits the transaction and merges `draft` into the cache of the hash
    /// chain. If `result` is an error or the commit fails, rolls back, clears the cache and returns the error.
    async fn finish<T>(&mut self, result: Result<T, StoreError>, draft: ChainDraft<'_>) -> Result<T, StoreError> {
        let result = match result {
            Ok(value) => self.execute("commit").await.map(|()| value),
            Err(error) => Err(error),
        };
        match result {
            Ok(value) => {
                self.chain.adopt(draft);
                self.committed.fetch_add(1, Ordering::Relaxed);
                Ok(value)
            }
            Err(error) => {
                // Ignore the error: SQLite may already have rolled back.
                let _ = self.execute("rollback").await;
                // After a disk error the content of the file is uncertain, so the next transaction reads the chain
                // again.
                self.chain = ChainCache::default();
                Err(error)
            }
        }
    }

    async fn execute(&mut self, statement: &'static str) -> Result<(), StoreError> {
        sqlx::query(statement).execute(&mut self.connection).await.map(drop).map_err(|error| store_error(&error))
    }
}

/// Executes all lists of writes in order. Then inserts the audit records of the queries in these lists, and stores the
/// changed tips of jobs.
async fn write_lists<'w>(
    connection: &mut SqliteConnection,
    chain: &ChainCache,
    draft: &mut ChainDraft<'w>,
    lists: &[&'w [Write]],
) -> Result<Vec<Vec<InboxKey>>, StoreError> {
    let mut results = Vec::with_capacity(lists.len());
    for list in lists {
        let mut new = Vec::new();
        for write in *list {
            write::execute(connection, chain, draft, write, &mut new).await?;
        }
        draft.end_list()?;
        results.push(new);
    }
    draft.end_transaction(connection, chain).await?;
    Ok(results)
}
