//! The calls of a backend on one Jenkins server.
//!
//! Not here: the life of a run, which is the same for each kind of server (`wardroom_remote`).

use std::{collections::BTreeMap, sync::atomic::AtomicUsize, time::Duration};

use async_trait::async_trait;
use parking_lot::Mutex;
use wardroom::{
    adapter::{GateAnswer, PipelineDescription, TestReport},
    model::RunKey,
};
use wardroom_remote::{Found, LogPart, Lost, Observation, Observed, Open, RemoteError, Stop, System};

use crate::{
    client::Client,
    config::{self, JenkinsPipeline},
    convert::{describe_build, describe_parameter},
    definition::check,
    definitions::Definitions,
    job_path::JobPath,
    log::{LogFollower, tail},
    run::{JenkinsRequest, JenkinsRun},
    stages::StageCache,
};

/// The number of builds in the description of a job.
const NEWEST: usize = 10;

pub(crate) struct Jenkins {
    pub(crate) client: Client,
    pub(crate) run_parameter: String,
    pub(crate) stages: StageCache,
    /// The first of the jobs that the next poll requests, if there are too many.
    pub(crate) turn: AtomicUsize,
    /// The newest build number of each job that was listed.
    pub(crate) newest: Mutex<BTreeMap<JobPath, u64>>,
    pipelines: BTreeMap<String, JenkinsPipeline>,
    definitions: Definitions,
}

impl Jenkins {
    /// Makes no request.
    pub(crate) fn new(
        system: &config::System,
        pause: Duration,
        definition_age: Duration,
        pipelines: BTreeMap<String, JenkinsPipeline>,
    ) -> Self {
        Self {
            client: Client::new(system, pause),
            run_parameter: system.run_parameter.clone(),
            stages: StageCache::default(),
            turn: AtomicUsize::default(),
            newest: Mutex::default(),
            pipelines,
            definitions: Definitions::new(definition_age),
        }
    }

    /// Returns the job of a pipeline: of a configured one, or of `SYSTEM:PATH`.
    fn job(&self, pipeline: &str) -> Result<JobPath, RemoteError> {
        match (self.pipelines.get(pipeline), pipeline.split_once(':')) {
            (Some(config), _) => Ok(config.job.clone()),
            (None, Some((_, path))) => JobPath::parse(path).map_err(|why| {
                RemoteError::rejected(format!("`{path}` is not the full name of a Jenkins job: it {why}"))
            }),
            (None, None) => Err(RemoteError::rejected(format!("there is no pipeline `{pipeline}`"))),
        }
    }
}

#[async_trait]
impl System for Jenkins {
    type Request = JenkinsRequest;
    type Run = JenkinsRun;
    type Log = LogFollower;

    const NAME: &'static str = "Jenkins";
    /// `stop`, `term` and `kill`.
    const STOPS: usize = 3;

    async fn prepare(
        &self,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<JenkinsRequest, RemoteError> {
        let job = self.job(pipeline)?;
        let values = match self.pipelines.get(pipeline) {
            Some(config) => config.values(parameters).map_err(RemoteError::rejected)?,
            None if parameters.contains_key(&self.run_parameter) => {
                let name = &self.run_parameter;
                return Err(RemoteError::rejected(format!("the host sets the parameter `{name}` itself")));
            }
            None => parameters.clone(),
        };
        let info = self.definitions.get(&self.client, &job).await?;
        let accepted = check(&job, &info, &values, &self.run_parameter).map_err(RemoteError::rejected)?;
        Ok(JenkinsRequest {
            job,
            baseline: accepted.next_build_number,
            has_parameters: accepted.has_parameters,
            carries_key: accepted.carries_key,
            values,
        })
    }

    async fn trigger(&self, key: &RunKey, request: &JenkinsRequest) -> Result<JenkinsRun, RemoteError> {
        let mut values = request.values.clone();
        if request.carries_key {
            values.insert(self.run_parameter.clone(), key.as_str().to_owned());
        }
        let triggered = self.client.trigger(&request.job, request.has_parameters.then_some(&values)).await?;
        Ok(JenkinsRun::Queued { item: triggered.item, merged: triggered.is_merged })
    }

    async fn search(&self, lost: &Lost<'_, Self>) -> Result<Found<JenkinsRun>, RemoteError> {
        self.find(lost).await
    }

    async fn search_unknown(
        &self,
        key: &RunKey,
        pipeline: &str,
    ) -> Result<Found<(JenkinsRequest, JenkinsRun)>, RemoteError> {
        let job = match self.job(pipeline) {
            Ok(job) => job,
            Err(error) => return Ok(Found::Unclear(error.reason().to_owned())),
        };
        let info = self.definitions.get(&self.client, &job).await?;
        if !info.parameters().unwrap_or_default().iter().any(|defined| defined.name == self.run_parameter) {
            return Ok(Found::Unclear(format!(
                "the files of the runs in the state folder are missing, and the job `{job}` does not define the parameter \
                 `{}` that would show whether Jenkins has a build of this run; look at the job in Jenkins",
                self.run_parameter
            )));
        }
        self.find_by_key(key, &JenkinsRequest::unknown(job)).await
    }

    async fn observe(&self, runs: &[Open<Self>]) -> Observed<Self> {
        self.look_at(runs).await
    }

    async fn log(&self, open: &Open<Self>, log: &mut LogFollower) -> Result<LogPart, RemoteError> {
        let Some(number) = open.run.number() else { return Ok(LogPart::default()) };
        // Every second turn is for the stages.
        if log.is_turn_of_stages() && self.may_have_stages(open) {
            self.read_stages(open, number).await;
            return Ok(LogPart { lines: Vec::new(), has_more: true });
        }
        log.read(&self.client, &open.request.job, number).await
    }

    fn rest_of_log(&self, log: &mut LogFollower) -> Vec<String> {
        log.finish()
    }

    async fn tail(&self, open: &Open<Self>, bytes: usize) -> Result<String, RemoteError> {
        match open.run.number() {
            Some(number) => tail(&self.client, &open.request.job, number, bytes).await,
            None => Ok(String::new()),
        }
    }

    async fn stop(&self, open: &Open<Self>, attempt: usize) -> Result<Stop<JenkinsRun>, RemoteError> {
        self.stop_run(open, attempt).await
    }

    fn timeout(&self) -> Duration {
        self.client.timeout()
    }

    fn url(&self, request: &JenkinsRequest, run: Option<&JenkinsRun>) -> Option<String> {
        Some(match run.and_then(JenkinsRun::number) {
            Some(number) => self.client.build_url(&request.job, number),
            None => self.client.job_url(&request.job),
        })
    }

    fn pipeline(&self, request: &JenkinsRequest) -> String {
        format!("job `{}`", request.job)
    }

    fn title(&self, run: &JenkinsRun) -> Option<String> {
        run.number().map(|number| format!("build #{number}"))
    }

    async fn look(&self, open: &Open<Self>) -> Result<Observation<JenkinsRun>, RemoteError> {
        let mut observation = self.look_at_one(open).await?;
        if let Observation::Open(progress) = &mut observation
            && let Some(number) = progress.run.number()
            && let Some(view) = self.client.stages(&open.request.job, number).await?
        {
            (progress.stages, progress.gates) = (view.stages, view.gates);
        }
        Ok(observation)
    }

    async fn list(&self, filter: &str, most: usize) -> Result<Vec<String>, RemoteError> {
        self.client.list(filter, most).await
    }

    async fn describe(&self, pipeline: &str) -> Result<PipelineDescription, RemoteError> {
        let job = self.job(pipeline)?;
        let info = self.definitions.get(&self.client, &job).await?;
        if info.next_build_number.is_none() {
            return Err(RemoteError::rejected(format!("`{job}` is a folder in Jenkins and not a job")));
        }
        let builds = self.client.builds(&job, NEWEST, false).await?;
        let defined = info.parameters().unwrap_or_default().iter();
        let parameters = defined.filter(|parameter| parameter.name != self.run_parameter);
        Ok(PipelineDescription {
            parameters: parameters.map(describe_parameter).collect(),
            runs: builds.builds.iter().map(|build| describe_build(&self.client, &job, build)).collect(),
        })
    }

    async fn locate(&self, pipeline: &str, run: &str) -> Result<(JenkinsRequest, JenkinsRun), RemoteError> {
        let job = self.job(pipeline)?;
        let is_number = !run.starts_with('0') && run.bytes().all(|byte| byte.is_ascii_digit());
        let Some(number) = Some(run).filter(|_| is_number).and_then(|run| run.parse().ok()) else {
            return Err(RemoteError::rejected(format!("`{run}` is not the number of a build")));
        };
        // Checks the name of the job.
        self.definitions.get(&self.client, &job).await?;
        let run = JenkinsRun::Building { item: None, number, scheduled: None, merged: false };
        Ok((JenkinsRequest::unknown(job), run))
    }

    fn forget(&self, key: &RunKey) {
        self.forget_stages(key);
    }

    fn id(&self, run: &JenkinsRun) -> Option<String> {
        run.number().map(|number| number.to_string())
    }

    async fn tests(&self, open: &Open<Self>) -> Result<TestReport, RemoteError> {
        match open.run.number() {
            Some(number) => self.client.tests(&open.request.job, number).await,
            None => Err(RemoteError::rejected("the build has not begun")),
        }
    }

    async fn answer(&self, open: &Open<Self>, gate: &str, answer: &GateAnswer) -> Result<(), RemoteError> {
        match open.run.number() {
            Some(number) => self.answer_gate(&open.request.job, number, gate, answer.proceeds).await,
            None => Err(RemoteError::rejected("the build has not begun")),
        }
    }
}
