//! The connection that writes to the database. It runs one [`Transaction`] at a time.
//!
//! Invariant: the cache of the hash chain takes changes only from committed transactions.
//! Not here: the choice of the lists of writes that share a transaction (`writer/task.rs`).

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

use sqlx::{Connection, Sqlite, SqliteConnection, query::Query, sqlite::SqliteArguments};
use wardroom::{
    Timestamp,
    store::{AuditRecord, InboxKey, JobRow, Removed, StoreError, Write},
};

use crate::{chain::ChainCache, convert::store_error};

pub(crate) enum TransactionError {
    /// The transaction did not begin, for example because another process locks the database. A separate transaction
    /// for each list of writes would fail in the same way.
    Begin(StoreError),
    /// A write or the commit failed, for example because one list of writes is invalid or the disk is full. Some of the
    /// lists can succeed if each list is written in its own transaction.
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
        let mut transaction = Transaction::new(&mut self.connection, &self.chain);
        let written = transaction.write_lists(lists).await;
        let changes = transaction.changes;
        self.finish(written, changes).await.map_err(TransactionError::Write)
    }

    /// Removes one batch of old data in one transaction, see [`Transaction::remove_some`].
    pub(crate) async fn remove(&mut self, before: Timestamp, loaded: &[String]) -> Result<Removed, StoreError> {
        self.execute("begin immediate").await?;
        let mut transaction = Transaction::new(&mut self.connection, &self.chain);
        let removed = transaction.remove_some(before, loaded).await;
        let changes = transaction.changes;
        self.finish(removed, changes).await
    }

    pub(crate) async fn close(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }

    /// Ends a transaction. `result` is the result of the transaction's statements. If it is `Ok`, commits the
    /// transaction and merges `changes` into the cache of the hash chain. If it is an error or the commit fails, rolls
    /// the transaction back, clears the cache and returns the error.
    async fn finish<T>(&mut self, result: Result<T, StoreError>, changes: ChainCache) -> Result<T, StoreError> {
        let result = match result {
            Ok(value) => self.execute("commit").await.map(|()| value),
            Err(error) => Err(error),
        };
        match result {
            Ok(value) => {
                self.chain.adopt(changes);
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
        sqlx::query(statement).execute(&mut self.connection).await.map(drop).map_err(store_error)
    }
}

/// A transaction in progress.
pub(crate) struct Transaction<'c, 'w> {
    pub(crate) connection: &'c mut SqliteConnection,
    /// The cache of the committed hash chain.
    pub(crate) cache: &'c ChainCache,
    /// The changes of this transaction to the hash chain and to the tips of jobs (the last entries of their journals).
    pub(crate) changes: ChainCache,
    /// The audit records of query commands (commands that only read) in this transaction. [`Self::end`] appends one
    /// link for all these records to the hash chain.
    pub(crate) audit_records: Vec<&'w AuditRecord>,
    /// The jobs that the current list of writes creates. The same list must also append the first journal
    /// entry of each job; otherwise [`Self::end_list`] returns an error.
    pub(crate) opened: Vec<&'w JobRow>,
}

impl<'c, 'w> Transaction<'c, 'w> {
    pub(crate) fn new(connection: &'c mut SqliteConnection, cache: &'c ChainCache) -> Self {
        Self { connection, cache, changes: ChainCache::default(), audit_records: Vec::new(), opened: Vec::new() }
    }

    /// Executes all lists of writes in order. Then inserts the audit records of query commands in these lists, and
    /// stores the changed tips of jobs (the last entries of their journals). For each list, returns the inbox keys of
    /// the messages that the store did not have before.
    async fn write_lists(&mut self, lists: &[&'w [Write]]) -> Result<Vec<Vec<InboxKey>>, StoreError> {
        let mut results = Vec::with_capacity(lists.len());
        for list in lists {
            let mut new = Vec::new();
            for write in *list {
                self.write(write, &mut new).await?;
            }
            self.end_list()?;
            results.push(new);
        }
        self.end().await?;
        Ok(results)
    }

    /// Executes an SQL statement, and returns the number of changed rows.
    pub(crate) async fn execute(&mut self, query: Query<'_, Sqlite, SqliteArguments>) -> Result<u64, StoreError> {
        let result = query.execute(&mut *self.connection).await.map_err(store_error)?;
        Ok(result.rows_affected())
    }
}
