//! One Tekton as a [`System`]: starts, finds, reads and stops PipelineRuns.
//!
//! Invariant: the name of a PipelineRun is made of the key of its run, so that a second request with the same key cannot
//! create a second PipelineRun.
//! Invariant: only a PipelineRun with the labels of this installation is the host's.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use serde_json::json;
use wardroom::{
    Timestamp,
    adapter::{GateAnswer, PipelineDescription, RunEnd},
    base::clean,
    model::{Outcome, RunKey},
};
use wardroom_remote::{Found, LogPart, Lost, Observation, Observed, Open, RemoteError, Stop, System};

use crate::{
    access,
    call::{Call, PIPELINE_RUNS},
    catalog,
    client::Client,
    config::Settings,
    definition,
    definitions::Definitions,
    gates,
    installation::Installation,
    log::{self, LogCursor},
    names::{is_name, run_name},
    observe::Seen,
    pipeline::TektonPipeline,
    responses::Meaning,
    run::{TektonRequest, TektonRun, identity},
    types::{PipelineRun, PipelineSpec},
};

/// How long after the request a missing PipelineRun means that none was created.
const COMPLETE: Duration = Duration::from_secs(1800);

/// Tekton in one cluster.
pub(crate) struct Tekton {
    pub(crate) client: Client,
    pub(crate) settings: Settings,
    pub(crate) pipelines: BTreeMap<String, TektonPipeline>,
    pub(crate) installation: Installation,
    /// What the last poll saw of each open run.
    pub(crate) seen: Mutex<BTreeMap<RunKey, Seen>>,
    /// The time at which the cluster said that it has no ApprovalTasks, or that the host may not read them, by namespace.
    pub(crate) no_approvals: Mutex<BTreeMap<String, Instant>>,
    definitions: Definitions,
}

impl Tekton {
    /// Creates the system. `folder` contains the id of the installation. Makes no request.
    pub(crate) fn new(
        settings: Settings,
        folder: PathBuf,
        timing: &wardroom_remote::Timing,
        pipelines: BTreeMap<String, TektonPipeline>,
    ) -> Self {
        Self {
            client: Client::new(&settings, timing.pause),
            settings,
            pipelines,
            installation: Installation::new(folder),
            seen: Mutex::default(),
            no_approvals: Mutex::default(),
            definitions: Definitions::new(timing.definition),
        }
    }

    /// Returns the namespace and the name of a Pipeline: of a configured pipeline, or of `SYSTEM:PATH`. A Pipeline has
    /// one path only, because the rules of the engine apply to the path.
    pub(crate) fn target<'p>(&'p self, pipeline: &'p str) -> Result<(&'p str, &'p str), RemoteError> {
        if let Some(config) = self.pipelines.get(pipeline) {
            return Ok((&config.namespace, &config.pipeline));
        }
        let Some((_, path)) = pipeline.split_once(':') else {
            return Err(RemoteError::rejected(format!("there is no pipeline `{}`", clean(pipeline))));
        };
        let own = self.settings.namespace.as_str();
        let (namespace, name) = path.split_once('/').unwrap_or((own, path));
        let is_path = is_name(name) && self.settings.namespaces.contains(namespace);
        if !is_path || (namespace == own && path.contains('/')) {
            return Err(RemoteError::rejected(format!(
                "`{}` is not the path of a Pipeline: write its name, or NAMESPACE/NAME for one in another allowed namespace",
                clean(path)
            )));
        }
        // The rules of an app cannot be evaded by another path of its pipeline.
        let is_same = |config: &&TektonPipeline| config.namespace == namespace && config.pipeline == name;
        if let Some((owner, _)) = self.pipelines.iter().find(|(_, config)| is_same(config)) {
            return Err(RemoteError::rejected(format!("the Pipeline `{}` is `{owner}`; name it so", clean(path))));
        }
        Ok((namespace, name))
    }

    /// Returns a Pipeline.
    pub(crate) async fn definition(&self, namespace: &str, pipeline: &str) -> Result<PipelineSpec, RemoteError> {
        self.definitions.read(&self.client, namespace, pipeline).await
    }

    /// Returns a PipelineRun; `None` if there is none.
    pub(crate) async fn get_run(&self, namespace: &str, name: &str) -> Result<Option<PipelineRun>, RemoteError> {
        let call = Call::get(&PIPELINE_RUNS, namespace, name, shown_run(namespace, name));
        match self.client.json(&call).await {
            Ok(run) => Ok(Some(run)),
            Err(failure) if failure.is(Meaning::Missing) => Ok(None),
            Err(failure) => Err(failure.error),
        }
    }
}

pub(crate) fn shown_pipeline(namespace: &str, pipeline: &str) -> String {
    format!("Pipeline `{pipeline}` in the namespace `{namespace}`")
}

pub(crate) fn shown_run(namespace: &str, name: &str) -> String {
    format!("PipelineRun `{name}` in the namespace `{namespace}`")
}

/// Returns the result of a run whose PipelineRun is gone.
pub(crate) fn gone(open: &Open<Tekton>, reason: &str) -> RunEnd {
    let now = wardroom::Timestamp::now();
    RunEnd {
        outcome: Outcome::Unknown,
        message: format!("the {} {reason}", shown_run(&open.run.namespace, &open.run.name)),
        started: open.requested.min(now),
        ended: now,
        details: BTreeMap::from([("pipelinerun".to_owned(), open.run.name.clone())]),
    }
}

#[async_trait]
impl System for Tekton {
    type Request = TektonRequest;
    type Run = TektonRun;
    type Log = LogCursor;

    const NAME: &'static str = "Tekton";
    const STOPS: usize = 2;

    async fn prepare(
        &self,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<TektonRequest, RemoteError> {
        let (namespace, name) = self.target(pipeline)?;
        // Tekton replaces `$(...)` in values, for example by a result of a task.
        if let Some((name, _)) = parameters.iter().find(|(_, value)| value.contains("$(")) {
            let name = clean(name);
            return Err(RemoteError::rejected(format!(
                "the value of `{name}` contains `$(`, which Tekton would replace; use a value without it"
            )));
        }
        let config = match self.pipelines.get(pipeline) {
            Some(config) => config,
            None => &TektonPipeline::open(namespace, name, parameters.keys()),
        };
        let values = config.values(parameters).map_err(RemoteError::rejected)?;
        let spec = self.definition(namespace, name).await?;
        let workspaces: BTreeSet<&str> = config.workspaces.keys().map(String::as_str).collect();
        definition::check(&shown_pipeline(namespace, name), &spec, &values, &workspaces)
            .map_err(RemoteError::rejected)?;
        Ok(TektonRequest {
            namespace: namespace.to_owned(),
            pipeline: name.to_owned(),
            deployment: pipeline.to_owned(),
            spec: config.spec(&values),
        })
    }

    async fn trigger(&self, key: &RunKey, request: &TektonRequest) -> Result<TektonRun, RemoteError> {
        let name = run_name(key).map_err(RemoteError::rejected)?;
        let namespace = &request.namespace;
        let body = self.object(key, &name, request)?.to_string().into_bytes();
        let call = Call::create(&PIPELINE_RUNS, namespace, body, shown_run(namespace, &name));
        let failure = match self.client.json::<PipelineRun>(&call).await {
            Ok(run) => return Ok(identity(namespace, &run)),
            Err(failure) if failure.is(Meaning::Taken) => failure,
            Err(failure) => return Err(failure.error),
        };
        // The request, or the one of a host that crashed, has created it before. If it cannot be read, it is searched
        // for later.
        let unclear = |reason: &str| RemoteError::unusable(reason.to_owned());
        match self.get_run(namespace, &name).await.map_err(|error| unclear(error.reason()))? {
            Some(run) if self.is_own(&run, key)? => Ok(identity(namespace, &run)),
            Some(_) => Err(RemoteError::rejected(format!(
                "the {} exists already, and this host did not create it; delete it, or start the deployment again",
                shown_run(namespace, &name)
            ))),
            None => Err(unclear(failure.error.reason())),
        }
    }

    async fn search(&self, lost: &Lost<'_, Self>) -> Result<Found<TektonRun>, RemoteError> {
        let namespace = &lost.request.namespace;
        Ok(match self.find(lost.key, namespace).await? {
            Some(run) => Found::Run(identity(namespace, &run)),
            // Pruners delete PipelineRuns that have ended.
            None if lost.requested + COMPLETE < Timestamp::now() => Found::Unclear(format!(
                "the cluster has no PipelineRun of the {} now; one that was created can have ended and been deleted since; \
                 look at what it deploys",
                shown_pipeline(namespace, &lost.request.pipeline)
            )),
            None => Found::Nothing,
        })
    }

    async fn search_unknown(
        &self,
        key: &RunKey,
        pipeline: &str,
    ) -> Result<Found<(TektonRequest, TektonRun)>, RemoteError> {
        let (namespace, _) = self.target(pipeline)?;
        let name = run_name(key).map_err(RemoteError::rejected)?;
        let Some(run) = self.get_run(namespace, &name).await? else { return Ok(Found::Nothing) };
        if !self.is_own(&run, key)? {
            return Ok(Found::Unclear(format!(
                "the files of the runs in the state folder are missing, and the {} was created by another installation, or \
                 by this one before the files were lost; look at it in the cluster",
                shown_run(namespace, &name)
            )));
        }
        Ok(Found::Run(self.existing(pipeline, &run)?))
    }

    async fn observe(&self, runs: &[Open<Self>]) -> Observed<Self> {
        self.observe_all(runs).await
    }

    async fn log(&self, open: &Open<Self>, log: &mut LogCursor) -> Result<LogPart, RemoteError> {
        log::read(&self.client, &open.run.namespace, &open.run.name, log).await
    }

    fn rest_of_log(&self, _log: &mut LogCursor) -> Vec<String> {
        // An incomplete line is not stored, but read again.
        Vec::new()
    }

    async fn tail(&self, open: &Open<Self>, bytes: usize) -> Result<String, RemoteError> {
        log::tail(&self.client, &open.run.namespace, &open.run.name, bytes).await
    }

    async fn stop(&self, open: &Open<Self>, attempt: usize) -> Result<Stop<TektonRun>, RemoteError> {
        let TektonRun { namespace, name, uid } = &open.run;
        // The first request lets the tasks of `finally` run.
        let status = if attempt == 0 { "CancelledRunFinally" } else { "Cancelled" };
        // With the uid, another PipelineRun of the same name is not changed.
        let patch = json!({ "metadata": { "uid": uid }, "spec": { "status": status } });
        let call = Call::patch(&PIPELINE_RUNS, namespace, name, &patch, shown_run(namespace, name));
        let failure = match self.client.send(&call).await {
            Ok(_) => return Ok(Stop::Requested),
            Err(failure) if failure.is(Meaning::Missing) => return Ok(Stop::Done),
            Err(failure) => failure,
        };
        // Tekton's webhook rejects a change of a run that has ended.
        if matches!(failure.meaning, Some(Meaning::Rejected | Meaning::Conflict | Meaning::Forbidden)) {
            match self.get_run(namespace, name).await {
                Ok(None) => return Ok(Stop::Done),
                Ok(Some(run)) if run.is_done() || run.metadata.uid != *uid => return Ok(Stop::Done),
                _ => {}
            }
        }
        Err(failure.error)
    }

    fn timeout(&self) -> Duration {
        self.settings.timeout
    }

    fn url(&self, request: &TektonRequest, run: Option<&TektonRun>) -> Option<String> {
        self.settings.link(&request.namespace, &run?.name)
    }

    fn pipeline(&self, request: &TektonRequest) -> String {
        shown_pipeline(&request.namespace, &request.pipeline)
    }

    fn title(&self, run: &TektonRun) -> Option<String> {
        Some(format!("PipelineRun {}", run.name))
    }

    async fn look(&self, open: &Open<Self>) -> Result<Observation<TektonRun>, RemoteError> {
        self.look_at(open).await
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
        catalog::list(self, filter, most).await
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, RemoteError> {
        catalog::describe(self, pipeline).await
    }

    async fn locate(&self, pipeline: &str, run: &str) -> Result<(TektonRequest, TektonRun), RemoteError> {
        catalog::locate(self, pipeline, run).await
    }

    fn id(&self, run: &TektonRun) -> Option<String> {
        Some(run.name.clone())
    }

    fn forget(&self, key: &RunKey) {
        self.seen.lock().remove(key);
    }

    async fn answer(&self, open: &Open<Self>, gate: &str, answer: &GateAnswer) -> Result<(), RemoteError> {
        gates::answer(&self.client, open, gate, answer).await
    }

    async fn probe(&self) -> Result<Vec<String>, Vec<String>> {
        access::probe(self).await
    }
}
