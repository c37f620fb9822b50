//! The backend of one server, as far as it is the same for each kind: its files, its locks, and the state of a run.
//!
//! Invariant: the state of a run is in its file and on the server, not in memory. A restart of the host changes no result.
//! Invariant: the requests of one run that can start or find it are sent one after the other.

use std::{
    collections::{BTreeMap, BTreeSet},
    io,
    path::PathBuf,
    sync::{Arc, Weak},
    time::Duration,
};

use parking_lot::Mutex;
use tokio::sync::{Mutex as AsyncMutex, OwnedMutexGuard};
use wardroom::{
    Timestamp,
    adapter::{PipelineError, RunState},
    model::RunKey,
};

use crate::{
    error::RemoteError,
    files::RunFiles,
    log_turns::LogTurns,
    poller::Poller,
    record::{Phase, Record, RunRecord, State},
    system::{Found, System},
    timing::Timing,
};

/// How long a folder counts as new. Runs that were in doubt when the folder was lost are resolved by then.
const NEW_FOLDER: Duration = Duration::from_secs(24 * 3600);

pub(crate) struct Backend<S: System> {
    pub(crate) system: S,
    pub(crate) timing: Timing,
    pub(crate) poller: Poller<S>,
    pub(crate) log_turns: LogTurns,
    /// The runs that a task is cancelling.
    pub(crate) cancelling: Mutex<BTreeSet<RunKey>>,
    files: RunFiles,
    locks: Mutex<BTreeMap<RunKey, Weak<AsyncMutex<()>>>>,
}

impl<S: System> Backend<S> {
    pub(crate) fn new(system: S, folder: PathBuf, timing: Timing) -> Self {
        Self {
            system,
            log_turns: LogTurns::new(timing.log),
            timing,
            poller: Poller::default(),
            cancelling: Mutex::default(),
            files: RunFiles::new(folder),
            locks: Mutex::default(),
        }
    }

    /// Waits until no other request starts or searches for a run.
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

    /// Reads the file of a run. The inner error is a file that stays damaged.
    async fn read_file(&self, key: &RunKey) -> Result<Result<Option<Record<S>>, PipelineError>, PipelineError> {
        let (files, run) = (self.files.clone(), key.clone());
        match blocking(move || files.read(&run)).await {
            Ok(record) => Ok(Ok(record)),
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidData | io::ErrorKind::UnexpectedEof) => {
                Ok(Err(refused(format!(
                    "the file of the pipeline run `{key}` in the state folder is damaged; look at the pipeline in {}",
                    S::NAME
                ))))
            }
            Err(error) => Err(file_error(key, &error)),
        }
    }

    pub(crate) async fn read(&self, key: &RunKey) -> Result<Option<Record<S>>, PipelineError> {
        match self.read_file(key).await? {
            Ok(record) => Ok(record),
            // The caller may not start the run again.
            Err(damaged) => Err(unavailable(damaged.to_string())),
        }
    }

    /// Creates the folder of the files, before the first run is started.
    pub(crate) async fn create_folder(&self, key: &RunKey) -> Result<(), PipelineError> {
        let files = self.files.clone();
        blocking(move || files.create_folder()).await.map_err(|error| file_error(key, &error))
    }

    /// Creates the file of a run.
    ///
    /// # Errors
    /// Another process created it in the meantime.
    pub(crate) async fn create(&self, key: &RunKey, record: Record<S>) -> Result<(), PipelineError> {
        let (files, run) = (self.files.clone(), key.clone());
        let created = blocking(move || files.create(&run, &record)).await.map_err(|error| file_error(key, &error))?;
        if created {
            return Ok(());
        }
        Err(unavailable(format!("the pipeline run `{key}` is being started by another process")))
    }

    pub(crate) async fn update(
        &self,
        key: &RunKey,
        change: impl FnOnce(&mut Record<S>) + Send + 'static,
    ) -> Result<Option<Record<S>>, PipelineError> {
        let (files, run) = (self.files.clone(), key.clone());
        blocking(move || files.update(&run, change)).await.map_err(|error| file_error(key, &error))
    }

    /// Returns the records of all runs but `key`, and whether all files could be read.
    pub(crate) async fn others(&self, key: &RunKey) -> Result<(Vec<(RunKey, Record<S>)>, bool), PipelineError> {
        let (files, run) = (self.files.clone(), key.clone());
        blocking(move || files.others(&run)).await.map_err(|error| file_error(key, &error))
    }

    pub(crate) async fn remove(&self, key: &RunKey) -> Result<(), PipelineError> {
        let (files, run) = (self.files.clone(), key.clone());
        blocking(move || files.remove(&run)).await.map_err(|error| file_error(key, &error))
    }

    /// Returns the record of a run, and finds the run if its trigger had no answer.
    ///
    /// # Errors
    /// Nothing was started, or this cannot be known; or the server is unavailable.
    pub(crate) async fn started(self: &Arc<Self>, key: &RunKey) -> Result<Record<S>, PipelineError> {
        let _lock = self.lock(key).await;
        let Some(record) = self.read_file(key).await?? else {
            return Err(refused(format!("there is no pipeline run `{key}`")));
        };
        let record = match record.phase {
            Phase::Triggering => self.resolve(key, &record).await?.map_err(refused)?,
            _ => record,
        };
        if let Phase::NotStarted(reason) = record.phase {
            return Err(refused(reason));
        }
        self.continue_cancelling(key, &record);
        Ok(record)
    }

    /// Returns the state of a run. Afterwards no run can be started with a key that is absent.
    pub(crate) async fn state(self: &Arc<Self>, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        let _lock = self.lock(key).await;
        let record = match self.read_file(key).await? {
            Ok(Some(record)) => record,
            Ok(None) => return self.absent(key, pipeline).await,
            Err(damaged) => return Ok(RunState::Unknowable(damaged.to_string())),
        };
        let record = match record.phase {
            Phase::Triggering => match self.resolve(key, &record).await? {
                Ok(record) => record,
                Err(reason) => return Ok(RunState::Unknowable(reason)),
            },
            _ => record,
        };
        match record.phase {
            Phase::NotStarted(_) => Ok(RunState::Absent),
            _ => {
                self.continue_cancelling(key, &record);
                self.look(key, record).await
            }
        }
    }

    /// Asks the server for the state of one started run and stores it.
    async fn look(&self, key: &RunKey, mut record: Record<S>) -> Result<RunState, PipelineError> {
        if let Some(State::Ended(end)) = record.state() {
            return Ok(RunState::Ended(end));
        }
        let Some(open) = record.open::<S>(key) else { return Ok(RunState::Running) };
        let mut observed = self.system.observe(&[open]).await;
        let Some(observation) = observed.remove(key) else { return Ok(RunState::Running) };
        let observation = observation.map_err(RemoteError::while_reading)?;
        let before = record.clone();
        let state = record.apply(observation, self.timing.gone, Timestamp::now());
        if record != before {
            self.store_progress(key, &record).await;
        }
        Ok(match state {
            Some(State::Ended(end)) => RunState::Ended(end),
            _ => RunState::Running,
        })
    }

    /// Stores the progress of a run. If the file cannot be written, the next observation has the same result.
    pub(crate) async fn store_progress(&self, key: &RunKey, record: &Record<S>) {
        let (phase, missing_since) = (record.phase.clone(), record.missing_since);
        let stored = self.update(key, move |stored| {
            if matches!(stored.phase, Phase::Started(_)) {
                (stored.phase, stored.missing_since) = (phase, missing_since);
            }
        });
        if let Err(error) = stored.await {
            tracing::warn!(
                run = %key, %error,
                "cannot store the progress of a pipeline run; retrying at its next change"
            );
        }
    }

    /// Returns the state of a run of which the host has no file. Afterwards no run can be started with its key.
    async fn absent(self: &Arc<Self>, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError> {
        // The file is written before the trigger is sent. It can only be missing because nothing was sent, or because
        // all files were lost. A new folder can be one that replaces a lost one.
        let found = if self.files.is_older_than(NEW_FOLDER) {
            Found::Nothing
        } else {
            self.system.search_unknown(key, pipeline).await.map_err(RemoteError::while_reading)?
        };
        let (record, state) = match found {
            Found::Run((request, run)) => {
                (RunRecord::triggering(pipeline, request).with(Phase::Started(run)), RunState::Running)
            }
            Found::Nothing => {
                (RunRecord::not_started(pipeline, "the pipeline run was never started"), RunState::Absent)
            }
            Found::Unclear(reason) => return Ok(RunState::Unknowable(reason)),
        };
        self.create(key, record).await?;
        Ok(state)
    }
}

pub(crate) fn refused(message: String) -> PipelineError {
    PipelineError::Refused { message }
}

pub(crate) fn unavailable(message: String) -> PipelineError {
    PipelineError::Unavailable { message }
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
