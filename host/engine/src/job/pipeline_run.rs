//! One job at work: its row, its card, and the one way in which its journal grows.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
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

/// A run that a job started.
#[derive(Clone)]
pub struct PipelineRun {
    /// Its key.
    pub key: RunKey,
    /// The pipeline's name, for example `cms/staging`.
    pub pipeline: String,
    /// The app that it deploys.
    pub app: String,
    /// The environment that it deploys to.
    pub environment: String,
    /// The version, where the pipeline takes one.
    pub version: Option<String>,
    /// When it was started.
    pub started: Timestamp,
    /// The backend that runs it.
    pub backend: BackendId,
}

/// A job at work.
pub struct Job {
    row: Arc<JobRow>,
    card: JobCard,
    // The number of the next entry; `None` before the journal was looked at. Held while one is handed to the store, so that
    // entries come there in their order, and while the journal is read, so that none comes in between.
    next: Mutex<Option<u32>>,
    // How many entries were found good since this job was taken up, and the hash of the last of them.
    checked: Mutex<Option<(u32, String)>>,
    phase: std::sync::Mutex<JobPhase>,
    cancelled: CancellationToken,
}

impl Job {
    pub(crate) fn new(row: Arc<JobRow>, card: JobCard) -> Self {
        let phase = std::sync::Mutex::new(row.stand.phase);
        Self {
            row,
            card,
            next: Mutex::new(None),
            checked: Mutex::new(None),
            phase,
            cancelled: CancellationToken::new(),
        }
    }

    /// Its row, as it was when it was taken up.
    pub fn row(&self) -> &JobRow {
        &self.row
    }

    pub(crate) fn card(&self) -> &JobCard {
        &self.card
    }

    /// Where it stands, as it was written last.
    pub(crate) fn phase(&self) -> JobPhase {
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody asked it to stop.
    pub(crate) fn cancel(&self) {
        self.cancelled.cancel();
    }

    /// Whether somebody asked it to stop.
    pub(crate) fn is_cancelled(&self) -> bool {
        self.cancelled.is_cancelled()
    }

    /// Waits until somebody asks it to stop.
    pub(crate) async fn cancelled(&self) {
        self.cancelled.cancelled().await;
    }

    /// Reads its journal back.
    ///
    /// # Errors
    /// [`HistoryError`].
    pub(crate) async fn read(&self, store: &dyn Store) -> Result<JobHistory, HistoryError> {
        let mut next = self.next.lock().await;
        let history = JobHistory::read_behind(store, &self.row.id, &mut *self.checked.lock().await).await?;
        *next = Some(history.next());
        if history.cancelled() {
            self.cancelled.cancel();
        }
        Ok(history)
    }

    /// Writes entries and what belongs with them as one transaction. Gives the number of the first.
    ///
    /// # Errors
    /// The store's; nothing was written, and no number was used.
    pub(crate) async fn enter(
        &self,
        store: &dyn Store,
        entries: Vec<Entry>,
        more: Vec<Write>,
    ) -> Result<u32, StoreError> {
        let mut next = self.next.lock().await;
        let first = match *next {
            Some(first) => first,
            None => store.tip(&self.row.id).await?.map_or(0, |(next, _)| next),
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

    /// Hands an entry over that a crash may lose.
    pub(crate) async fn note(&self, store: &dyn Store, entry: Entry) {
        let mut next = self.next.lock().await;
        // A plugin that runs was read back before.
        let Some(next) = &mut *next else { return };
        store.note(numbered(entry, *next));
        *next += 1;
    }

    /// Writes entries and what belongs with them, and that it stands somewhere else: its row, and its card where it came to
    /// rest, as one transaction.
    ///
    /// # Errors
    /// The store's; nothing was written, and it stands where it stood.
    pub(crate) async fn enter_and_stand(
        &self,
        store: &dyn Store,
        entries: Vec<Entry>,
        stand: JobStatus,
        mut more: Vec<Write>,
    ) -> Result<(), StoreError> {
        let phase = stand.phase;
        more.extend(self.stands(stand).await);
        match self.enter(store, entries, more).await {
            Ok(_) => {
                *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = phase;
                Ok(())
            }
            Err(error) => {
                self.card.not_shown().await;
                Err(error)
            }
        }
    }

    /// Its row, and its card where it came to rest.
    async fn stands(&self, stand: JobStatus) -> Vec<Write> {
        let card = self.card.rests(&stand).await.map(Write::Say);
        [Write::JobStatus { job: self.row.id.clone(), stand }].into_iter().chain(card).collect()
    }
}

/// An entry with its number, behind what stands beside it.
fn numbered(mut entry: Entry, number: u32) -> Vec<Write> {
    entry.number = number;
    let beside = blob::pack(&mut entry);
    beside.into_iter().chain([Write::Enter(entry)]).collect()
}
