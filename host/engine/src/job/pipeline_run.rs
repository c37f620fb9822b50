//! A running job: its row, its card, and the numbering of its journal entries.

use std::sync::{Arc, PoisonError};

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{
    card::JobCard,
    history::{HistoryError, JobHistory},
};
use crate::{
    journal::blob,
    model::{BackendId, RunKey},
    store::{Entry, JobPhase, JobRow, JobStatus, Store, StoreError, Write},
};

/// A pipeline run that a job started.
#[derive(Clone)]
pub(crate) struct PipelineRun {
    /// The idempotency key that the backend received.
    pub key: RunKey,
    /// The pipeline's name, for example `cms/staging`.
    pub pipeline: String,
    /// The app that the run deploys.
    pub app: String,
    /// The environment that the run deploys to.
    pub environment: String,
    /// The version, if the pipeline takes one.
    pub version: Option<String>,
    /// The backend that executes the run.
    pub backend: BackendId,
}

/// A job that this process works on.
pub(crate) struct Job {
    row: Arc<JobRow>,
    card: JobCard,
    // The number of the next entry; `None` until the journal was read. The lock is held while an entry is handed to the
    // store, so that entries arrive in order, and while the journal is read, so that none is added meanwhile.
    next: Mutex<Option<u32>>,
    // The count of entries that were checked since this job was loaded, and the hash of the last of them.
    checked: Mutex<Option<(u32, String)>>,
    phase: std::sync::Mutex<JobPhase>,
    cancelled: CancellationToken,
}

impl Job {
    pub(crate) fn new(row: Arc<JobRow>, card: JobCard) -> Self {
        let phase = std::sync::Mutex::new(row.status.phase);
        Self {
            row,
            card,
            next: Mutex::new(None),
            checked: Mutex::new(None),
            phase,
            cancelled: CancellationToken::new(),
        }
    }

    /// The job's row, as it was when the job was loaded.
    pub(crate) fn row(&self) -> &JobRow {
        &self.row
    }

    pub(crate) fn card(&self) -> &JobCard {
        &self.card
    }

    /// The phase that was stored last.
    pub(crate) fn phase(&self) -> JobPhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Signals the cancellation to every task that works on this job.
    pub(crate) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Whether the job was cancelled.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Completes when the job is cancelled.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Reads the job's journal, and sets the number of the next entry and the cancellation from it.
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

    /// Writes entries, and other writes that belong to them, in one transaction. Returns the number of the first entry.
    ///
    /// # Errors
    /// The error of the store. Nothing was written, and no number was used.
    pub(crate) async fn enter(
        &self,
        store: &dyn Store,
        entries: Vec<Entry>,
        more: Vec<Write>,
    ) -> Result<u32, StoreError> {
        let mut next = self.next.lock().await;
        let first = match *next {
            Some(first) => first,
            None => store.journal_head(&self.row.id).await?.map_or(0, |(next, _)| next),
        };
        let mut behind = first;
        let mut writes = Vec::with_capacity(entries.len() + more.len());
        for entry in entries {
            writes.extend(numbered(entry, behind));
            behind += 1;
        }
        writes.extend(more);
        store.commit(writes).await?;
        *next = Some(behind);
        Ok(first)
    }

    /// Queues an entry without waiting for the disk. A crash may lose it.
    pub(crate) async fn note(&self, store: &dyn Store, entry: Entry) {
        let mut next = self.next.lock().await;
        // A plugin runs only after its journal was read, so the number is set.
        let Some(next) = &mut *next else { return };
        store.note(numbered(entry, *next));
        *next += 1;
    }

    /// Writes entries and the job's new status in one transaction, together with the card if the job now waits.
    ///
    /// # Errors
    /// The error of the store. Nothing was written, and the status is unchanged.
    pub(crate) async fn enter_with_status(
        &self,
        store: &dyn Store,
        entries: Vec<Entry>,
        status: JobStatus,
        mut more: Vec<Write>,
    ) -> Result<(), StoreError> {
        let phase = status.phase;
        more.extend(self.status_writes(status).await);
        match self.enter(store, entries, more).await {
            Ok(_) => {
                *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
                Ok(())
            }
            Err(error) => {
                self.card.discard_last().await;
                Err(error)
            }
        }
    }

    /// The writes of a new status: the job's row, and the card if the job now waits.
    async fn status_writes(&self, status: JobStatus) -> Vec<Write> {
        let card = self.card.waiting_row(&status).await.map(Write::Send);
        [Write::JobStatus { job: self.row.id.clone(), status }].into_iter().chain(card).collect()
    }
}

/// The writes of an entry under its number: a blob for a large body first, then the entry.
fn numbered(mut entry: Entry, number: u32) -> Vec<Write> {
    entry.number = number;
    let blob = blob::pack(&mut entry);
    blob.into_iter().chain([Write::Append(entry)]).collect()
}
