//! The engine's view of a backend.

use std::{collections::BTreeMap, path::PathBuf, sync::Arc};

use async_trait::async_trait;
use wardroom::{
    adapter::{
        GateAnswer, PipelineDescription, PipelineError, Pipelines, RunEnd, RunEvent, RunState, RunView, TestReport,
    },
    model::RunKey,
};

use crate::{
    backend::{Backend, unavailable},
    error::RemoteError,
    system::System,
    timing::Timing,
};

/// The pipelines on one server.
pub struct RemotePipelines<S: System>(Arc<Backend<S>>);

impl<S: System> RemotePipelines<S> {
    /// Creates the backend. Makes no request. `folder` contains a file for each run, which no other process may use. The
    /// first run creates the folder with mode 0700.
    pub fn new(system: S, folder: PathBuf, timing: Timing) -> Self {
        Self(Arc::new(Backend::new(system, folder, timing)))
    }
}

#[async_trait]
impl<S: System> Pipelines for RemotePipelines<S> {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        let (backend, key, pipeline, parameters) =
            (self.0.clone(), key.clone(), pipeline.to_owned(), parameters.clone());
        // A separate task sends the request and stores its answer even if the caller is cancelled.
        let started = tokio::spawn(async move { backend.start(&key, &pipeline, &parameters).await });
        started.await.map_err(|error| unavailable(format!("internal error while a run was started: {error}")))?
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        self.0.state(key, pipeline).await
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        self.0.follow(key, event).await
    }

    async fn output(&self, key: &RunKey, _pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let record = self.0.started(key).await?;
        match record.open::<S>(key).filter(|open| self.0.system.title(&open.run).is_some()) {
            Some(open) => self.0.system.tail(&open, bytes).await.map_err(RemoteError::while_changing),
            None => Ok(String::new()),
        }
    }

    async fn forget(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        self.0.remove(key).await
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let (backend, key) = (self.0.clone(), key.clone());
        // A separate task sends the request and repeats it even if the caller is cancelled.
        let cancelled = tokio::spawn(async move { backend.cancel(&key).await });
        cancelled.await.map_err(|error| unavailable(format!("internal error while a run was cancelled: {error}")))?
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, PipelineError> {
        self.0.system.list(filter, most).await.map_err(RemoteError::while_changing)
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, PipelineError> {
        self.0.system.describe(pipeline).await.map_err(RemoteError::while_changing)
    }

    async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        self.0.view(pipeline, run).await
    }

    async fn output_of(&self, pipeline: &str, run: &str, bytes: usize) -> Result<String, PipelineError> {
        self.0.output_of(pipeline, run, bytes).await
    }

    async fn tests(&self, pipeline: &str, run: &str) -> Result<TestReport, PipelineError> {
        self.0.tests(pipeline, run).await
    }

    async fn stop(&self, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        let (backend, pipeline, run) = (self.0.clone(), pipeline.to_owned(), run.to_owned());
        // As in `cancel`.
        let stopped = tokio::spawn(async move { backend.stop_existing(&pipeline, &run).await });
        stopped.await.map_err(|error| unavailable(format!("internal error while a run was stopped: {error}")))?
    }

    async fn answer(&self, pipeline: &str, run: &str, gate: &str, answer: &GateAnswer) -> Result<(), PipelineError> {
        self.0.answer(pipeline, run, gate, answer).await
    }

    async fn probe(&self) -> Result<Vec<String>, Vec<String>> {
        self.0.system.probe().await
    }
}
