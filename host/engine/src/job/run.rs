//! One job at work: its row, its card, and the runs that it started.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use jiff::Timestamp;

use super::JobCard;
use crate::port::{Pipelines, RunKey, store::JobRow};

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
    // Each run that may have been started, and whether its end is known.
    runs: Mutex<BTreeMap<RunKey, (JobRun, bool)>>,
}

impl Job {
    pub(crate) fn new(row: Arc<JobRow>, card: JobCard) -> Self {
        Self { row, card, runs: Mutex::default() }
    }

    /// Its row.
    pub fn row(&self) -> &JobRow {
        &self.row
    }

    /// Puts a word on its card.
    pub fn stage(&self, stage: String) {
        self.card.stage(stage);
    }

    pub(crate) fn card(&self) -> &JobCard {
        &self.card
    }

    pub(crate) fn into_card(self) -> JobCard {
        self.card
    }

    /// A run is about to be started. From here on it is followed to its end, whatever becomes of the guest.
    pub(crate) fn add_run(&self, run: JobRun) {
        self.runs().insert(run.key.clone(), (run, false));
    }

    /// A run was not started after all.
    pub(crate) fn drop_run(&self, key: &RunKey) {
        self.runs().remove(key);
    }

    /// A run's end is known to the guest.
    pub(crate) fn end_run(&self, key: &RunKey) {
        if let Some((_, ended)) = self.runs().get_mut(key) {
            *ended = true;
        }
    }

    /// One of its own runs.
    pub(crate) fn run(&self, id: &str) -> Option<JobRun> {
        let key = RunKey::parse(id)?;
        self.runs().get(&key).map(|(run, _)| run.clone())
    }

    /// The runs whose end nobody waited for.
    pub(crate) fn unfinished(&self) -> Vec<JobRun> {
        self.runs().values().filter(|(_, ended)| !ended).map(|(run, _)| run.clone()).collect()
    }

    fn runs(&self) -> MutexGuard<'_, BTreeMap<RunKey, (JobRun, bool)>> {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
