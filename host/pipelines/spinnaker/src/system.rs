//! What the shared core calls: the implementation of its trait for Spinnaker.
//!
//! Invariant: a run has one execution, whose id is stored. The key of the run is in the correlation id of its trigger.

use std::{
    collections::BTreeMap,
    sync::Arc,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use reqwest::Url;
use serde::{Deserialize, Serialize};
use tokio::sync::Mutex as AsyncMutex;
use wardroom::{
    adapter::{GateAnswer, PipelineDescription},
    model::RunKey,
};
use wardroom_remote::{Found, LogPart, Lost, Observed, Open, RemoteError, Stop, System, Timing};

use crate::{
    client::{CanList, Client, PipelineConfig, below},
    config::{GateSettings, SpinnakerPipeline},
    definition::{Origin, Trigger, check, find, not_found},
    lines::{Told, last_lines},
    pipeline_path::PipelinePath,
    snapshots::Snapshots,
};

/// The pipelines of an application with the time at which they were read; `None` before the first request.
type Definitions = Arc<AsyncMutex<Option<(Instant, Arc<Vec<PipelineConfig>>)>>>;

/// The backend of one Spinnaker.
#[derive(Debug)]
pub(crate) struct Spinnaker {
    pub(crate) client: Client,
    pub(crate) timing: Timing,
    /// The executions as they were seen last.
    pub(crate) snapshots: Snapshots,
    pub(crate) can_list: CanList,
    ui: Option<Url>,
    pipelines: BTreeMap<String, SpinnakerPipeline>,
    definitions: Mutex<BTreeMap<String, Definitions>>,
}

/// What identifies a started run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ExecutionId {
    pub(crate) id: String,
}

impl Spinnaker {
    /// Creates the backend. Makes no request.
    pub(crate) fn new(settings: &GateSettings, timing: Timing, pipelines: BTreeMap<String, SpinnakerPipeline>) -> Self {
        Self {
            client: Client::new(settings, timing.pause),
            timing,
            snapshots: Snapshots::default(),
            can_list: CanList::default(),
            ui: settings.ui.clone(),
            pipelines,
            definitions: Mutex::default(),
        }
    }

    /// Returns the path of a pipeline: of a configured one, or of `SYSTEM:PATH`.
    ///
    /// # Errors
    /// There is no such pipeline.
    pub(crate) fn path(&self, pipeline: &str) -> Result<(PipelinePath, Origin), RemoteError> {
        match (self.pipelines.get(pipeline), pipeline.split_once(':')) {
            (Some(config), _) => Ok((config.path.clone(), Origin::Configured)),
            (None, Some((_, path))) => PipelinePath::parse(path)
                .map(|path| (path, Origin::Given))
                .map_err(|why| RemoteError::rejected(format!("`{path}` names no Spinnaker pipeline: it {why}"))),
            (None, None) => Err(RemoteError::rejected(format!("there is no pipeline `{pipeline}`"))),
        }
    }

    /// Returns a pipeline as it is configured in Spinnaker now.
    ///
    /// # Errors
    /// Spinnaker does not have the pipeline, or is unavailable.
    pub(crate) async fn definition(&self, path: &PipelinePath, origin: Origin) -> Result<PipelineConfig, RemoteError> {
        let list = self.definitions(&path.application, self.timing.definition).await?;
        match find(path, origin, &list) {
            Some(found) => match self.owner_of(path, found).filter(|_| origin == Origin::Given) {
                Some(owner) => Err(RemoteError::rejected(format!("the pipeline `{path}` is `{owner}`; name it so"))),
                None => Ok(found.clone()),
            },
            None => Err(RemoteError::Missing { reason: not_found(path, &list) }),
        }
    }

    /// Returns the name of the app's pipeline that is the pipeline `found`, also if it is configured by its id. Its rules
    /// cannot be evaded by a path.
    fn owner_of(&self, path: &PipelinePath, found: &PipelineConfig) -> Option<&str> {
        let is_same = |configured: &SpinnakerPipeline| {
            let PipelinePath { application, pipeline } = &configured.path;
            application.eq_ignore_ascii_case(&path.application)
                && [found.name.as_ref(), found.id.as_ref()].contains(&Some(pipeline))
        };
        self.pipelines.iter().find(|(_, configured)| is_same(configured)).map(|(name, _)| name.as_str())
    }

    /// Returns the pipelines of an application. Requests that arrive at the same time share one request to Gate, and its
    /// answer is used again for `max_age`.
    pub(crate) async fn definitions(
        &self,
        application: &str,
        max_age: Duration,
    ) -> Result<Arc<Vec<PipelineConfig>>, RemoteError> {
        let shared = {
            let mut definitions = self.definitions.lock();
            definitions.retain(|_, definition| {
                let is_new = |known: &Option<(Instant, _)>| {
                    known.as_ref().is_some_and(|(at, _)| at.elapsed() < self.timing.definition)
                };
                Arc::strong_count(definition) > 1 || definition.try_lock().is_ok_and(|known| is_new(&known))
            });
            definitions.entry(application.to_owned()).or_default().clone()
        };
        let mut known = shared.lock().await;
        if let Some((_, list)) = known.as_ref().filter(|(at, _)| at.elapsed() < max_age) {
            return Ok(list.clone());
        }
        let at = Instant::now();
        let list = Arc::new(self.client.pipelines(application).await?);
        *known = Some((at, list.clone()));
        Ok(list)
    }

    /// Returns the page of an execution.
    pub(crate) fn execution_url(&self, application: &str, id: &str) -> Option<String> {
        self.page(application, &["executions", "details", id])
    }

    /// Returns a page of an application in Deck, whose paths are in the fragment of its URL.
    fn page(&self, application: &str, segments: &[&str]) -> Option<String> {
        let ui = self.ui.as_ref()?;
        let root = Url::parse("http://deck.invalid/").ok()?;
        let path = below(&root, &[&["applications", application], segments].concat());
        Some(format!("{}/#{}", ui.as_str().trim_end_matches('/'), path.path()))
    }
}

/// Returns the correlation id of a run. Orca starts no second execution with the id of one that has not ended.
pub(crate) fn correlation_id(key: &RunKey) -> String {
    format!("wardroom-{key}")
}

#[async_trait]
impl System for Spinnaker {
    type Request = Trigger;
    type Run = ExecutionId;
    type Log = Told;

    const NAME: &'static str = "Spinnaker";
    /// The second request is sent with force.
    const STOPS: usize = 2;

    async fn prepare(&self, pipeline: &str, parameters: &BTreeMap<String, String>) -> Result<Trigger, RemoteError> {
        let (path, origin) = self.path(pipeline)?;
        let values = match self.pipelines.get(pipeline) {
            Some(config) => config.values(parameters).map_err(RemoteError::rejected)?,
            None => parameters.clone(),
        };
        let found = self.definition(&path, origin).await?;
        check(&path, &found, values).map_err(RemoteError::rejected)
    }

    async fn trigger(&self, key: &RunKey, request: &Trigger) -> Result<ExecutionId, RemoteError> {
        let Trigger { path: PipelinePath { application, pipeline }, id, values } = request;
        let target = id.as_deref().unwrap_or(pipeline);
        let what = self.pipeline(request);
        let id = self.client.trigger(application, target, what, &correlation_id(key), values).await?;
        Ok(ExecutionId { id })
    }

    async fn search(&self, lost: &Lost<'_, Self>) -> Result<Found<ExecutionId>, RemoteError> {
        self.search_lost(lost).await
    }

    async fn search_unknown(&self, key: &RunKey, pipeline: &str) -> Result<Found<(Trigger, ExecutionId)>, RemoteError> {
        self.search_without_file(key, pipeline).await
    }

    async fn observe(&self, runs: &[Open<Self>]) -> Observed<Self> {
        self.observe_all(runs).await
    }

    async fn log(&self, open: &Open<Self>, log: &mut Told) -> Result<LogPart, RemoteError> {
        let execution = match self.snapshots.get(&open.run.id) {
            Some(execution) => execution,
            None => Arc::new(self.client.execution(&open.request.path.application, &open.run.id).await?),
        };
        Ok(LogPart { lines: log.lines(&execution), has_more: !execution.status().is_complete() })
    }

    fn rest_of_log(&self, _log: &mut Told) -> Vec<String> {
        Vec::new()
    }

    async fn tail(&self, open: &Open<Self>, bytes: usize) -> Result<String, RemoteError> {
        let execution = self.client.execution(&open.request.path.application, &open.run.id).await?;
        Ok(last_lines(&Told::default().lines(&execution), bytes))
    }

    async fn stop(&self, open: &Open<Self>, attempt: usize) -> Result<Stop<ExecutionId>, RemoteError> {
        let (application, id) = (&open.request.path.application, &open.run.id);
        // An execution that was just started can be unknown for a moment, so that the cancellation must be repeated.
        let unknown = |error: RemoteError| match error {
            RemoteError::Missing { reason } => RemoteError::not_sent(reason),
            other => other,
        };
        let execution = self.client.execution(application, id).await.map_err(unknown)?;
        if execution.status().is_complete() {
            return Ok(Stop::Done);
        }
        let reason = format!("cancelled in Wardroom (run {})", open.key);
        self.client.cancel(application, id, &reason, attempt > 0).await.map_err(unknown)?;
        Ok(Stop::Requested)
    }

    fn timeout(&self) -> Duration {
        self.client.server.timeout()
    }

    fn url(&self, request: &Trigger, run: Option<&ExecutionId>) -> Option<String> {
        let application = &request.path.application;
        match run {
            Some(run) => self.execution_url(application, &run.id),
            None => self.page(application, &["executions"]),
        }
    }

    fn pipeline(&self, request: &Trigger) -> String {
        format!("pipeline `{}`", request.path)
    }

    fn title(&self, run: &ExecutionId) -> Option<String> {
        Some(format!("execution {}", run.id))
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
        self.list_pipelines(filter, most).await
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, RemoteError> {
        let (path, origin) = self.path(pipeline)?;
        self.describe_pipeline(&path, origin).await
    }

    async fn locate(&self, pipeline: &str, run: &str) -> Result<(Trigger, ExecutionId), RemoteError> {
        let (path, origin) = self.path(pipeline)?;
        self.locate_execution(path, origin, run).await
    }

    fn id(&self, run: &ExecutionId) -> Option<String> {
        Some(run.id.clone())
    }

    async fn answer(&self, open: &Open<Self>, gate: &str, answer: &GateAnswer) -> Result<(), RemoteError> {
        self.judge(open, gate, answer).await
    }
}
