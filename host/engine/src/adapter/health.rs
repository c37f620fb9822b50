//! A wrapper around a pipeline backend that records when the backend last responded to a request.
//!
//! Invariant: the wrapper sends no request of its own and changes no result.

use std::{collections::BTreeMap, sync::Arc, time::Instant};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use super::pipelines::{PipelineError, Pipelines, RunEnd, RunState};
use crate::{
    metrics::{RequestOutcome, outbound},
    model::RunKey,
};

/// A pipeline backend with a record of its last response and its current outage.
pub(crate) struct ObservedBackend {
    name: String,
    system: Arc<dyn Pipelines>,
    health: Mutex<BackendHealth>,
}

/// The time of a pipeline backend's last response, and the backend's current outage.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct BackendHealth {
    /// The time of the backend's last response; `None` before the first response. A refused request counts as a
    /// response.
    pub answered: Option<Timestamp>,
    /// The time of the last request to which the backend did not respond, and the reason; `None` if the backend has
    /// responded since.
    pub unavailable: Option<(Timestamp, String)>,
}

impl ObservedBackend {
    /// Wraps the backend `system`. `name` is the `NAME` of the backend's table `[pipelines.NAME]`. For a backend
    /// without such a table, `name` is the kind of the backend.
    pub(crate) fn new(name: String, system: Arc<dyn Pipelines>) -> Self {
        Self { name, system, health: Mutex::default() }
    }

    /// Returns the `NAME` of the backend's table `[pipelines.NAME]`; the kind of the backend if it has no such table.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// Returns the time of the backend's last response and its current outage. Both are `None` before the first
    /// request.
    pub(crate) fn health(&self) -> BackendHealth {
        self.health.lock().clone()
    }

    /// Performs one request. Stores its result in the backend's [`BackendHealth`], and counts the request in the
    /// metrics.
    async fn observe<T>(
        &self,
        method: &'static str,
        request: impl Future<Output = Result<T, PipelineError>>,
    ) -> Result<T, PipelineError> {
        let began = Instant::now();
        let result = request.await;
        let outcome = match &result {
            Ok(_) => RequestOutcome::Done,
            Err(PipelineError::Refused { .. }) => RequestOutcome::Refused,
            Err(PipelineError::Unavailable { .. }) => RequestOutcome::Unavailable,
        };
        outbound(&self.name, method, outcome, began);
        self.update(&result);
        result
    }

    fn update<T>(&self, result: &Result<T, PipelineError>) {
        let now = Timestamp::now();
        let mut health = self.health.lock();
        if let Err(PipelineError::Unavailable { message }) = result {
            health.unavailable = Some((now, crate::base::clean(message)));
        } else {
            *health = BackendHealth { answered: Some(now), unavailable: None };
        }
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
        self.observe("start", self.system.start(key, pipeline, parameters)).await
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        self.observe("state", self.system.state(key, pipeline)).await
    }

    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        // The metrics do not count this call, because it lasts as long as the pipeline run.
        let result = self.system.ended(key, pipeline, line).await;
        self.update(&result);
        result
    }

    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        self.observe("output", self.system.output(key, pipeline, bytes)).await
    }

    async fn forget(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.observe("forget", self.system.forget(key, pipeline)).await
    }

    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError> {
        self.observe("cancel", self.system.cancel(key, pipeline)).await
    }
}
