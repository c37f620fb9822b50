//! One job at work: its row, its card, and the one way in which its journal grows.

use std::sync::{Arc, PoisonError};

use jiff::Timestamp;
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use super::{JobCard, Tape};
use crate::{
    journal,
    port::{
        Pipelines, RunKey, Store, StoreError,
        store::{Entry, JobRow, Phase, Stand, Write},
    },
};

/// A run that a job started.
#[derive(Clone)]
pub struct JobRun {
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
    /// The system that runs it.
    pub system: Arc<dyn Pipelines>,
}

/// A job at work.
pub struct Job {
    row: Arc<JobRow>,
    card: JobCard,
    // The number of the next entry. Held while one is handed to the store, so that entries come there in their order.
    next: Mutex<u32>,
    phase: std::sync::Mutex<Phase>,
    cancelled: CancellationToken,
}

impl Job {
    pub(crate) fn new(row: Arc<JobRow>, card: JobCard) -> Self {
        let phase = std::sync::Mutex::new(row.stand.phase);
        Self { row, card, next: Mutex::new(0), phase, cancelled: CancellationToken::new() }
    }

    /// Its row, as it was when it was taken up.
    pub fn row(&self) -> &JobRow {
        &self.row
    }

    pub(crate) fn card(&self) -> &JobCard {
        &self.card
    }

    /// Where it stands, as it was written last.
    pub(crate) fn phase(&self) -> Phase {
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

    /// Its journal was read back.
    pub(crate) async fn took_up(&self, tape: &Tape) {
        *self.next.lock().await = tape.next();
        if tape.cancelled() {
            self.cancelled.cancel();
        }
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
        let first = *next;
        let mut writes = Vec::with_capacity(entries.len() + more.len());
        for (entry, number) in entries.into_iter().zip(first..) {
            writes.extend(numbered(entry, number));
            *next = number + 1;
        }
        writes.extend(more);
        match store.commit(writes).await {
            Ok(_) => Ok(first),
            Err(error) => {
                *next = first;
                Err(error)
            }
        }
    }

    /// Hands an entry over that a crash may lose.
    pub(crate) async fn note(&self, store: &dyn Store, entry: Entry) {
        let mut next = self.next.lock().await;
        store.note(numbered(entry, *next));
        *next += 1;
    }

    /// It stands somewhere else: its row, and its card where it came to rest.
    pub(crate) async fn stands(&self, stand: Stand) -> Vec<Write> {
        let card = self.card.rests(&stand).await.map(Write::Say);
        *self.phase.lock().unwrap_or_else(PoisonError::into_inner) = stand.phase;
        [Write::Stand { job: self.row.id.clone(), stand }].into_iter().chain(card).collect()
    }
}

/// An entry with its number, behind what stands beside it.
fn numbered(mut entry: Entry, number: u32) -> Vec<Write> {
    entry.number = number;
    let beside = journal::pack(&mut entry);
    beside.into_iter().chain([Write::Enter(entry)]).collect()
}
