//! The backend of one Jenkins server, and its implementation of the engine's trait.
//!
//! Invariant: the state of a run is in its file and in Jenkins, not in memory. A restart of the host changes no result.
//! Invariant: the requests of one run that can start or find its build run one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::{Duration, Instant},
};

use async_trait::async_trait;
use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use wardroom::{
    Timestamp,
    adapter::{PipelineError, Pipelines, RunEnd, RunState},
    model::RunKey,
};

use crate::{
    client::{Client, JobInfo},
    config::{JenkinsPipeline, System},
    error::JenkinsError,
    job_path::JobPath,
    log::{LogTurns, tail},
    poller::Poller,
    progress::{Stage, apply},
    record::{Phase, RunRecord, RunStore},
    timing::Timing,
};

/// A job's definition with the time at which it was read; `None` before the first request.
type Definition = Arc<AsyncMutex<Option<(Instant, JobInfo)>>>;

pub(crate) struct Backend {
    pub(crate) client: Client,
    pub(crate) timing: Timing,
    pub(crate) pipelines: BTreeMap<String, JenkinsPipeline>,
    pub(crate) run_parameter: String,
    pub(crate) store: RunStore,
    pub(crate) poller: Poller,
    pub(crate) log_turns: LogTurns,
    /// The builds that are being stopped with more and more force.
    pub(crate) escalating: Mutex<BTreeSet<RunKey>>,
    /// The runs whose cancellation is requested again.
    pub(crate) cancelling: Mutex<BTreeSet<RunKey>>,
    timeout: Duration,
    locks: Mutex<BTreeMap<RunKey, Weak<AsyncMutex<()>>>>,
    definitions: Mutex<BTreeMap<JobPath, Definition>>,
}

impl Backend {
    /// Creates the backend. `folder` contains the files of its runs. Makes no request.
    pub(crate) fn new(
        system: System,
        folder: PathBuf,
        timing: Timing,
        pipelines: BTreeMap<String, JenkinsPipeline>,
    ) -> Self {
        Self {
            client: Client::new(&system, timing.pause),
            log_turns: LogTurns::new(timing.log),
            timing,
            pipelines,
            run_parameter: system.run_parameter,
            store: RunStore::new(folder),
            poller: Poller::default(),
            escalating: Mutex::default(),
            cancelling: Mutex::default(),
            timeout: system.timeout,
            locks: Mutex::default(),
            definitions: Mutex::default(),
        }
    }

    pub(crate) fn client_timeout(&self) -> Duration {
        self.timeout
    }

    /// Waits until no other request starts or searches for the build of a run.
    pub(crate) async fn lock(&self, key: &RunKey) -> OwnedMutexGuard<()> {
        let lock = {
            let mut locks = self.locks.lock();
            locks.retain(|_, lock| lock.strong_count() > 0);
            let known = locks.get(key).and_then(Weak::upgrade);
            known.unwrap_or_else(|| {
                let lock = Arc::new(AsyncMutex::new(()));
                locks.insert(key.clone(), Arc::downgrade(&lock));
                lock
            })
        };
        lock.lock_owned().await
    }

    /// Returns the definition of a job. Requests that arrive at the same time share one request to Jenkins.
    pub(crate) async fn definition(&self, job: &JobPath) -> Result<JobInfo, JenkinsError> {
        let shared = {
            let mut definitions = self.definitions.lock();
            definitions.retain(|_, definition| {
                Arc::strong_count(definition) > 1
                    || definition
                        .try_lock()
                        .is_ok_and(|known| known.as_ref().is_some_and(|(at, _)| at.elapsed() < self.timing.definition))
            });
            definitions.entry(job.clone()).or_default().clone()
        };
        let mut known = shared.lock().await;
        if let Some((_, info)) = known.as_ref().filter(|(at, _)| at.elapsed() < self.timing.definition) {
            return Ok(info.clone());
        }
        let at = Instant::now();
        let info = self.client.job(job).await?;
        *known = Some((at, info.clone()));
        Ok(info)
    }

    async fn read_file(&self, key: &RunKey) -> io::Result<Option<RunRecord>> {
        let (store, run) = (self.store.clone(), key.clone());
        blocking(move || store.read(&run)).await
    }

    pub(crate) async fn read(&self, key: &RunKey) -> Result<Option<RunRecord>, PipelineError> {
        self.read_file(key).await.map_err(|error| file_error(key, &error))
    }

    pub(crate) async fn create(&self, key: &RunKey, record: RunRecord) -> Result<bool, PipelineError> {
        let (store, run) = (self.store.clone(), key.clone());
        blocking(move || store.create(&run, &record)).await.map_err(|error| file_error(key, &error))
    }

    pub(crate) async fn update(
        &self,
        key: &RunKey,
        change: impl FnOnce(&mut RunRecord) + Send + 'static,
    ) -> Result<Option<RunRecord>, PipelineError> {
        let (store, run) = (self.store.clone(), key.clone());
        blocking(move || store.update(&run, change)).await.map_err(|error| file_error(key, &error))
    }

    pub(crate) async fn others(&self, key: &RunKey, job: &JobPath) -> Result<Vec<RunRecord>, PipelineError> {
        let (store, run, job) = (self.store.clone(), key.clone(), job.clone());
        blocking(move || store.others(&run, &job)).await.map_err(|error| file_error(key, &error))
    }

    /// Returns the record of a run, and finds its build if the trigger had no answer.
    ///
    /// # Errors
    /// Nothing was started, or this cannot be known; or Jenkins is unavailable.
    pub(crate) async fn started(self: &Arc<Self>, key: &RunKey) -> Result<RunRecord, PipelineError> {
        let _lock = self.lock(key).await;
        let record = match self.read_file(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return Err(refused(format!("there is no pipeline run `{key}`"))),
            // A damaged file stays damaged.
            Err(error) if is_damage(&error) => return Err(refused(damaged(key))),
            Err(error) => return Err(file_error(key, &error)),
        };
        let record = match record.phase {
            Phase::Triggering => self.resolve(key, &record).await?.map_err(refused)?,
            _ => record,
        };
        match record.phase {
            Phase::NotStarted(reason) => Err(refused(reason)),
            _ => Ok(record),
        }
    }

    /// Asks Jenkins for the state of one run and stores it.
    async fn look(self: &Arc<Self>, key: &RunKey, mut record: RunRecord) -> Result<RunState, PipelineError> {
        if let Phase::Ended { end, .. } = record.phase {
            return Ok(RunState::Ended(end));
        }
        let mut seen = self.observe(&[(key.clone(), record.clone())]).await;
        let observation = match seen.remove(key) {
            Some(observation) => observation.map_err(JenkinsError::while_reading)?,
            None => return Ok(RunState::Running),
        };
        let before = record.clone();
        let stage = apply(&mut record, observation, &self.client, self.timing.gone, Timestamp::now());
        if record != before {
            self.store_progress(key, &record).await;
        }
        Ok(match stage {
            Some(Stage::Ended(end)) => RunState::Ended(end),
            _ => RunState::Running,
        })
    }

    /// Stores the progress of a run. If the file cannot be written, the next observation has the same result.
    pub(crate) async fn store_progress(&self, key: &RunKey, record: &RunRecord) {
        let (phase, missing_since) = (record.phase.clone(), record.missing_since);
        let stored = self.update(key, move |stored| {
            if !matches!(stored.phase, Phase::Ended { .. } | Phase::NotStarted(_)) {
                (stored.phase, stored.missing_since) = (phase, missing_since);
            }
        });
        if let Err(error) = stored.await {
            tracing::warn!(run = %key, %error, "cannot store the progress of a Jenkins build; retrying at its next change");
        }
    }

    /// Returns the state of a run of which the host has no file. Afterwards no build can be started with its key.
    async fn absent(self: &Arc<Self>, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        let Some(job) = self.pipelines.get(pipeline).map(|pipeline| pipeline.job.clone()) else {
            return Ok(RunState::Unknowable(format!("the pipeline `{pipeline}` is not configured")));
        };
        // A file can be missing because the state folder was lost. A job with the run parameter shows the truth.
        let carries_key = match self.definition(&job).await {
            Ok(info) => info.parameters().unwrap_or_default().iter().any(|defined| defined.name == self.run_parameter),
            Err(error) if error.is_transient() => return Err(error.while_reading()),
            Err(_) => false,
        };
        let found = if carries_key { self.find_by_key(key, &job).await? } else { None };
        let is_found = found.is_some();
        let record = found.unwrap_or_else(|| RunRecord::not_started(job, "the pipeline run was never started"));
        if !self.create(key, record).await? {
            return Err(unavailable(format!("the pipeline run `{key}` is being started by another process")));
        }
        Ok(if is_found { RunState::Running } else { RunState::Absent })
    }
}

/// The engine's view of a backend.
pub(crate) struct JenkinsPipelines(Arc<Backend>);

impl JenkinsPipelines {
    pub(crate) fn new(backend: Backend) -> Self {
        Self(Arc::new(backend))
    }
}

#[async_trait]
impl Pipelines for JenkinsPipelines {
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
        started.await.map_err(|error| unavailable(format!("internal error while a build was started: {error}")))?
    }

    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        let backend = &self.0;
        let _lock = backend.lock(key).await;
        let record = match backend.read_file(key).await {
            Ok(Some(record)) => record,
            Ok(None) => return backend.absent(key, pipeline).await,
            Err(error) if is_damage(&error) => {
                return Ok(RunState::Unknowable(damaged(key)));
            }
            Err(error) => return Err(file_error(key, &error)),
        };
        let record = match record.phase {
            Phase::Triggering => match backend.resolve(key, &record).await? {
                Ok(record) => record,
                Err(reason) => return Ok(RunState::Unknowable(reason)),
            },
            _ => record,
        };
        match record.phase {
            Phase::NotStarted(_) => Ok(RunState::Absent),
            _ => backend.look(key, record).await,
        }
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        self.0.follow(key, line).await
    }

    async fn output(&self, key: &RunKey, _pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let record = self.0.started(key).await?;
        match record.number() {
            Some(number) => {
                tail(&self.0.client, &record.job, number, bytes).await.map_err(JenkinsError::while_changing)
            }
            None => Ok(String::new()),
        }
    }

    async fn forget(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        match self.0.read(key).await?.map(|record| record.phase) {
            Some(Phase::Triggering | Phase::Queued { .. } | Phase::Building { .. }) => {
                Err(refused(format!("the pipeline run `{key}` cannot be removed: the run has not ended")))
            }
            None => Ok(()),
            Some(Phase::NotStarted(_) | Phase::Ended { .. }) => {
                let (store, run) = (self.0.store.clone(), key.clone());
                blocking(move || store.remove(&run)).await.map_err(|error| file_error(key, &error))
            }
        }
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let (backend, key) = (self.0.clone(), key.clone());
        // A separate task sends the request and repeats it even if the caller is cancelled.
        let cancelled = tokio::spawn(async move { backend.cancel(&key).await });
        cancelled.await.map_err(|error| unavailable(format!("internal error while a build was cancelled: {error}")))?
    }
}

pub(crate) fn refused(message: String) -> PipelineError {
    PipelineError::Refused { message }
}

pub(crate) fn unavailable(message: String) -> PipelineError {
    PipelineError::Unavailable { message }
}

fn damaged(key: &RunKey) -> String {
    format!("the file of the pipeline run `{key}` in the state folder is damaged; look at the job in Jenkins")
}

fn is_damage(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof)
}

fn file_error(key: &RunKey, error: &io::Error) -> PipelineError {
    unavailable(format!("the file of the pipeline run `{key}` cannot be read or written: {error}"))
}

/// Runs blocking file operations on tokio's thread pool for blocking work.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime is shutting down and drops this future.
            Err(_) => std::future::pending().await,
        },
    }
}
