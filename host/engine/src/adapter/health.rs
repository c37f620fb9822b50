//! A pipelines system, and when it answered last: each system of a configuration is one of these.
//!
//! Invariant: it asks nothing of its own and changes no answer; what is known of a system is what it was asked for anyway.

use std::{
    collections::BTreeMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Instant,
};

use async_trait::async_trait;
use jiff::Timestamp;

use super::pipelines::{PipelineError, Pipelines, RunEnd, RunState};
use crate::{
    metrics::{RequestOutcome, outbound},
    model::RunKey,
};

/// A pipelines system under watch.
pub struct ObservedBackend {
    name: String,
    system: Arc<dyn Pipelines>,
    seen: Mutex<Seen>,
}

/// What a system did lately.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Seen {
    /// When it answered last, be it that it refused.
    pub answered: Option<Timestamp>,
    /// When it did not answer last, and why, for people. `None` once it answered again.
    pub away: Option<(Timestamp, String)>,
}

impl ObservedBackend {
    /// Watches over a system. `name` is that of its table, or its kind where it has none.
    pub(crate) fn new(name: String, system: Arc<dyn Pipelines>) -> Self {
        Self { name, system, seen: Mutex::default() }
    }

    /// The name of its table, or its kind where it has none.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What it did lately; empty where it was not asked since the host was started.
    pub fn seen(&self) -> Seen {
        self.lock().clone()
    }

    /// Keeps and counts what came of a question.
    fn told<T>(
        &self,
        method: &'static str,
        began: Instant,
        came: Result<T, PipelineError>,
    ) -> Result<T, PipelineError> {
        let asked = match &came {
            Ok(_) => RequestOutcome::Done,
            Err(PipelineError::Refused { .. }) => RequestOutcome::Refused,
            Err(PipelineError::Unavailable { .. }) => RequestOutcome::Away,
        };
        outbound(&self.name, method, asked, began);
        self.keep(&came);
        came
    }

    fn keep<T>(&self, came: &Result<T, PipelineError>) {
        let now = Timestamp::now();
        let mut seen = self.lock();
        match came {
            Ok(_) | Err(PipelineError::Refused { .. }) => *seen = Seen { answered: Some(now), away: None },
            Err(PipelineError::Unavailable { message }) => seen.away = Some((now, crate::base::clean(message))),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[async_trait]
impl Pipelines for ObservedBackend {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        let began = Instant::now();
        self.told("start", began, self.system.start(key, pipeline, parameters).await)
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        let began = Instant::now();
        self.told("state", began, self.system.state(key, pipeline).await)
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        // It takes as long as the run does: no time of a request.
        let came = self.system.ended(key, pipeline, line).await;
        self.keep(&came);
        came
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let began = Instant::now();
        self.told("output", began, self.system.output(key, pipeline, bytes).await)
    }

    async fn forget(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        let began = Instant::now();
        self.told("forget", began, self.system.forget(key, pipeline).await)
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        let began = Instant::now();
        self.told("cancel", began, self.system.cancel(key, pipeline).await)
    }
}
