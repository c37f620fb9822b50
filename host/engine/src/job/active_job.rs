//! A job that this process runs, with its card and the number of its next journal entry.

use std::sync::Arc;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    card::JobCard,
    history::{HistoryError, JobHistory},
};
use crate::store::{Entry, JobPhase, JobRow, JobStatus, Store, StoreError, Write};

pub(crate) struct ActiveJob {
    row: Arc<JobRow>,
    card: JobCard,
    // The number of the next journal entry; `None` before the journal is read. Each write holds this lock, so that the
    // store receives the entries in order. Each read of the journal holds the lock too, so that no entry is added
    // meanwhile.
    next: Arc<Mutex<Option<u32>>>,
    // The number of journal entries whose hashes were checked, and the hash of the last of them.
    checked: Mutex<Option<(u32, String)>>,
    phase: parking_lot::Mutex<JobPhase>,
    cancelled: CancellationToken,
}

impl ActiveJob {
    pub(crate) fn new(row: Arc<JobRow>, card: JobCard) -> Self {
        let phase = parking_lot::Mutex::new(row.status.phase);
        Self { row, card, next: Arc::default(), checked: Mutex::new(None), phase, cancelled: CancellationToken::new() }
    }

    /// Returns the job's row as it was when the process loaded the job, without later changes.
    pub(crate) fn row(&self) -> &JobRow {
        &self.row
    }

    pub(crate) fn card(&self) -> &JobCard {
        &self.card
    }

    /// Returns the job's phase that was stored last.
    pub(crate) fn phase(&self) -> JobPhase {
        *self.phase.lock()
    }

    /// Signals the cancellation to every task that works on this job.
    pub(crate) fn cancel(&self) {
        self.cancelled.cancel();
    }

    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Completes when the job is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Reads the job's journal, and sets the number of the next journal entry. If the journal contains a cancellation,
    /// also signals the cancellation to every task that works on this job.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(crate) async fn read(&self, store: &dyn Store) -> Result<JobHistory, HistoryError> {
        let mut next = self.next.lock().await;
        let history = JobHistory::read_incremental(store, &self.row.id, &mut *self.checked.lock().await).await?;
        *next = Some(history.next());
        if history.cancelled() {
            self.cancelled.cancel();
        }
        Ok(history)
    }

    /// Stores journal entries and the changes in `more` in one transaction. Returns the number of the first entry.
    ///
    /// # Errors
    /// Fails if the store returns an error. Nothing is then stored.
    pub(crate) async fn enter(
        &self,
        store: &dyn Store,
        entries: Vec<Entry>,
        more: Vec<Write>,
    ) -> Result<u32, StoreError> {
        self.append(&mut *self.next.lock().await, store, entries, more).await
    }

    /// Stores journal entries and the changes in `more` like [`Self::enter`], then calls `apply`, which makes the same
    /// changes in memory. A separate task does both, so that stored changes are applied even if the caller drops the
    /// future: a guest ends at its wall limit, whatever call it waits for. Later entries of the job wait for the task.
    ///
    /// # Errors
    /// Fails if the store returns an error. Nothing is then stored, and `apply` is not called.
    pub(crate) async fn enter_and_apply(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        entries: Vec<Entry>,
        more: Vec<Write>,
        apply: impl FnOnce() + Send + 'static,
    ) -> Result<u32, StoreError> {
        let stored = self.enter_if(store, |_| true, entries, more, apply).await?;
        // The condition holds.
        Ok(stored.unwrap_or_default())
    }

    /// Stores journal entries and the changes in `more` like [`Self::enter_and_apply`], if `is_allowed` returns true
    /// while no other task can add an entry to the journal. Otherwise stores nothing and returns `None`.
    ///
    /// # Errors
    /// Fails if the store returns an error. Nothing is then stored, and `apply` is not called.
    pub(crate) async fn enter_if(
        self: &Arc<Self>,
        store: Arc<dyn Store>,
        is_allowed: impl FnOnce(&Self) -> bool,
        entries: Vec<Entry>,
        more: Vec<Write>,
        apply: impl FnOnce() + Send + 'static,
    ) -> Result<Option<u32>, StoreError> {
        let mut next = self.next.clone().lock_owned().await;
        if !is_allowed(self) {
            return Ok(None);
        }
        let job = self.clone();
        let task = tokio::spawn(async move {
            let first = job.append(&mut next, &*store, entries, more).await?;
            apply();
            Ok(Some(first))
        });
        match task.await {
            Ok(stored) => stored,
            Err(error) => match error.try_into_panic() {
                Ok(panic) => std::panic::resume_unwind(panic),
                // The runtime is shutting down, which also ends this future.
                Err(_) => std::future::pending().await,
            },
        }
    }

    /// Stores journal entries, numbered from `next`, and the changes in `more`. Returns the number of the first entry.
    async fn append(
        &self,
        next: &mut Option<u32>,
        store: &dyn Store,
        entries: Vec<Entry>,
        more: Vec<Write>,
    ) -> Result<u32, StoreError> {
        let first = match *next {
            Some(first) => first,
            None => store.journal_head(&self.row.id).await?.map_or(0, |(next, _)| next),
        };
        let mut number = first;
        let mut writes = Vec::with_capacity(entries.len() + more.len());
        for entry in entries {
            writes.extend(numbered(entry, number));
            number += 1;
        }
        writes.extend(more);
        store.commit(writes).await?;
        *next = Some(number);
        Ok(first)
    }

    /// Adds a journal entry to the store's write queue, and returns before the entry is stored. If the process crashes
    /// before the store writes the entry, the entry is lost.
    pub(crate) async fn note(&self, store: &dyn Store, entry: Entry) {
        let mut next = self.next.lock().await;
        // The number is always set here: the host runs a job's plugin only after it has read the job's journal.
        let Some(next) = &mut *next else { return };
        store.note(numbered(entry, *next));
        *next += 1;
    }

    /// Stores journal entries, the job's new status and the changes in `more` in one transaction. If the job now waits,
    /// the transaction also stores the changed status card.
    ///
    /// # Errors
    /// Fails if the store returns an error. Nothing is then stored, and the status is unchanged.
    pub(crate) async fn enter_with_status(
        self: &Arc<Self>,
        store: &Arc<dyn Store>,
        entries: Vec<Entry>,
        status: JobStatus,
        mut more: Vec<Write>,
    ) -> Result<(), StoreError> {
        let (job, phase) = (self.clone(), status.phase);
        let card = self.card.waiting_row(&status).await;
        more.push(Write::JobStatus { job: self.row.id.clone(), status });
        more.extend(card.map(Write::Send));
        let apply = move || *job.phase.lock() = phase;
        if let Err(error) = self.enter_and_apply(store.clone(), entries, more, apply).await {
            self.card.discard_last().await;
            return Err(error);
        }
        Ok(())
    }
}

/// Sets the number of a journal entry. Returns the changes that store the entry, in order: if the entry's body is
/// large, first a blob with the body, then the entry.
fn numbered(mut entry: Entry, number: u32) -> Vec<Write> {
    entry.number = number;
    let blob = entry.pack();
    blob.into_iter().chain([Write::Append(entry)]).collect()
}
