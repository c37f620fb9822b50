//! The host's side of exec pipelines: sends start requests to supervisors and reads the folders of pipeline runs.
//!
//! Invariant: between two calls, the state of a pipeline run is only in the run's folder, not in memory. A restart of
//! the host therefore changes no result.

use std::{collections::BTreeMap, io, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};
use wardroom::{
    adapter::{PipelineError, Pipelines, RunEnd, RunEvent, RunProgress, RunState, RunView},
    model::RunKey,
};

use crate::{
    config::ExecPipeline,
    folder::{RunFolder, RunStatus, Verdict, remove_leftovers},
    follow::OutputFollower,
    output,
    protocol::{StartRequest, StartResponse},
};

/// A call that waits for a pipeline run reads the run's folder at this interval.
const POLL_INTERVAL: Duration = Duration::from_millis(60);
/// If a pipeline run's folder cannot be read, the host reads the folder again after this time.
const RETRY_INTERVAL: Duration = POLL_INTERVAL.saturating_mul(20);
/// Timeout for a supervisor to start the program of a pipeline run.
const START_TIMEOUT: Duration = Duration::from_secs(60);
const NO_SUPERVISOR: &str = "internal error: the host has no supervisor program and cannot start pipeline runs; report \
                             this bug to the developers of the host";

/// All exec pipelines of a host.
pub(crate) struct ExecPipelines {
    runs: PathBuf,
    supervisor: Vec<String>,
    pub(crate) pipelines: BTreeMap<String, ExecPipeline>,
    leftovers_removed: OnceCell<()>,
}

impl ExecPipelines {
    pub(crate) fn new(runs: PathBuf, supervisor: Vec<String>) -> Self {
        Self { runs, supervisor, pipelines: BTreeMap::new(), leftovers_removed: OnceCell::new() }
    }

    fn folder(&self, key: &RunKey) -> Result<RunFolder, PipelineError> {
        RunFolder::of(&self.runs, key).ok_or_else(|| refused(format!("`{key}` is not a valid key of a pipeline run")))
    }

    async fn status(&self, key: &RunKey) -> Result<(RunFolder, RunStatus), PipelineError> {
        let folder = self.folder(key)?;
        let status = in_folder(&folder, |folder| folder.status()).await?;
        Ok((folder, status))
    }

    /// Returns the path of a pipeline run's folder, and the run's result. The result is `None` while the run is in
    /// progress.
    ///
    /// # Errors
    /// There is no pipeline run with this key, or the run's program could not be started.
    async fn existing_run(&self, key: &RunKey) -> Result<(RunFolder, Option<RunEnd>), PipelineError> {
        match self.status(key).await? {
            (_, RunStatus::Absent) => Err(refused(format!("there is no pipeline run `{key}`"))),
            (_, RunStatus::Finished(Verdict::Refused(message))) => Err(refused(message)),
            (folder, RunStatus::Running { .. }) => Ok((folder, None)),
            (folder, RunStatus::Finished(Verdict::Ended(end))) => Ok((folder, Some(end))),
        }
    }

    /// Returns true if an earlier start request with this key has started its program, and false if the run's folder
    /// does not exist. If the earlier request is still in progress, waits until the program has started.
    ///
    /// # Errors
    /// The earlier request could not start its program, or did not start it within [`START_TIMEOUT`].
    async fn started_before(&self, key: &RunKey) -> Result<bool, PipelineError> {
        let deadline = Instant::now() + START_TIMEOUT;
        loop {
            match self.status(key).await?.1 {
                RunStatus::Absent => return Ok(false),
                RunStatus::Running { started: true } | RunStatus::Finished(Verdict::Ended(_)) => return Ok(true),
                RunStatus::Finished(Verdict::Refused(message)) => return Err(refused(message)),
                RunStatus::Running { started: false } if Instant::now() > deadline => {
                    return Err(unavailable(format!(
                        "the program of the pipeline run `{key}` was not started within {START_TIMEOUT:?}"
                    )));
                }
                RunStatus::Running { started: false } => sleep(POLL_INTERVAL).await,
            }
        }
    }

    /// Removes old temporary folders of pipeline runs. Only the first call in a host process does this; later calls do
    /// nothing. A failed removal is logged as a warning.
    async fn remove_leftovers_once(&self) {
        let remove = || async {
            let runs = self.runs.clone();
            if let Err(error) = blocking(move || remove_leftovers(&runs)).await {
                tracing::warn!(
                    path = %self.runs.display(), %error,
                    "cannot remove old temporary folders of pipeline runs; retrying after the next start of the host"
                );
            }
        };
        self.leftovers_removed.get_or_init(remove).await;
    }
}

#[async_trait]
impl Pipelines for ExecPipelines {
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError> {
        self.remove_leftovers_once().await;
        if self.started_before(key).await? {
            return Ok(None);
        }
        let config =
            self.pipelines.get(pipeline).ok_or_else(|| refused(format!("there is no pipeline `{pipeline}`")))?;
        let (program, arguments) = self.supervisor.split_first().ok_or_else(|| refused(NO_SUPERVISOR.to_owned()))?;
        let request = StartRequest {
            runs: self.runs.clone(),
            key: key.clone(),
            pipeline: pipeline.to_owned(),
            program: config.program(parameters).map_err(refused)?,
            timeout: config.timeout,
            grace: config.grace,
            leave_running: config.leave_running,
            supervisor_arguments: arguments.to_vec(),
        };
        // A separate task sends the whole request even if the caller is cancelled.
        let exchange = tokio::spawn(send_request(program.clone(), request));
        match exchange.await.map_err(|error| unavailable(error.to_string()))?? {
            StartResponse::Started => Ok(None),
            StartResponse::Refused(message) => Err(refused(message)),
            StartResponse::Failed(message) => Err(unavailable(message)),
            StartResponse::KeyInUse => match self.started_before(key).await? {
                true => Ok(None),
                false => Err(unavailable(format!(
                    "the folder of the pipeline run `{key}` was removed while the run was starting"
                ))),
            },
        }
    }

    async fn state(&self, key: &RunKey, _pipeline: &str) -> Result<RunState, PipelineError> {
        self.remove_leftovers_once().await;
        let status = in_folder(&self.folder(key)?, |folder| folder.status_reserving_key()).await?;
        Ok(match status {
            // A start request whose program could not be started has no pipeline run.
            RunStatus::Absent | RunStatus::Finished(Verdict::Refused(_)) => RunState::Absent,
            RunStatus::Running { .. } => RunState::Running,
            RunStatus::Finished(Verdict::Ended(end)) => RunState::Ended(end),
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let mut follower: Option<OutputFollower> = None;
        loop {
            let (folder, end) = match self.existing_run(key).await {
                // The run continues while the disk is unavailable.
                Err(PipelineError::Unavailable { message }) => {
                    tracing::warn!(run = %key, error = message, "cannot read the status of the pipeline run; retrying");
                    sleep(RETRY_INTERVAL).await;
                    continue;
                }
                run => run?,
            };
            // Read the output after the status, so that no output before the end is missed.
            let ended = end.is_some();
            let mut reader = follower.take().unwrap_or_else(|| OutputFollower::new(folder));
            let (reader, lines) = blocking(move || {
                let lines = reader.read(ended);
                (reader, lines)
            })
            .await;
            follower = Some(reader);
            for text in &lines {
                event(RunEvent::Line(text));
            }
            match end {
                Some(end) => return Ok(end),
                None => sleep(POLL_INTERVAL).await,
            }
        }
    }

    async fn output(&self, key: &RunKey, _pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let (folder, _) = self.existing_run(key).await?;
        in_folder(&folder, move |folder| output::tail(folder.path(), bytes)).await
    }

    async fn forget(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let (folder, status) = self.status(key).await?;
        match status {
            RunStatus::Absent => Ok(()),
            RunStatus::Running { .. } => {
                Err(refused(format!("the pipeline run `{key}` cannot be removed: the run has not ended")))
            }
            RunStatus::Finished(_) => in_folder(&folder, |folder| std::fs::remove_dir_all(folder.path())).await,
        }
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        match self.existing_run(key).await? {
            (_, Some(_)) => Ok(()),
            (folder, None) => in_folder(&folder, |folder| folder.set_cancelled()).await,
        }
    }

    async fn view(&self, pipeline: &str, run: &str) -> Result<RunView, PipelineError> {
        let end = self.existing_run(&self.own(pipeline, run).await?).await?.1;
        Ok(RunView {
            id: run.to_owned(),
            is_waiting: false,
            outcome: end.as_ref().map(|end| end.outcome),
            message: end.as_ref().map(|end| end.message.clone()).unwrap_or_default(),
            started: end.as_ref().map(|end| end.started),
            ended: end.as_ref().map(|end| end.ended),
            url: None,
            progress: RunProgress::default(),
        })
    }

    async fn output_of(&self, pipeline: &str, run: &str, bytes: usize) -> Result<String, PipelineError> {
        self.output(&self.own(pipeline, run).await?, pipeline, bytes).await
    }

    async fn stop(&self, pipeline: &str, run: &str) -> Result<(), PipelineError> {
        self.cancel(&self.own(pipeline, run).await?, pipeline).await
    }
}

impl ExecPipelines {
    /// Returns the key of a run. Local commands have only runs of the host.
    ///
    /// # Errors
    /// It is not a run of the pipeline.
    async fn own(&self, pipeline: &str, run: &str) -> Result<RunKey, PipelineError> {
        let not_a_run = || refused(format!("`{run}` is not a run of the pipeline `{pipeline}`"));
        let key = RunKey::parse(run).ok_or_else(not_a_run)?;
        let known = in_folder(&self.folder(&key)?, |folder| folder.pipeline()).await?;
        if known.as_deref() == Some(pipeline) { Ok(key) } else { Err(not_a_run()) }
    }
}

/// Starts a supervisor, writes the start request to its standard input and reads the supervisor's response.
async fn send_request(program: String, request: StartRequest) -> Result<StartResponse, PipelineError> {
    let mut supervisor = Command::new(&program)
        .args(&request.supervisor_arguments)
        // The host's environment may hold secrets.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| refused(format!("cannot start the supervisor `{program}`: {error}")))?;
    let (Some(mut input), Some(mut output)) = (supervisor.stdin.take(), supervisor.stdout.take()) else {
        return Err(unavailable(format!(
            "internal error: the host has no pipes to the supervisor `{program}`; report this bug with the host's log"
        )));
    };
    // The supervisor exits when the pipeline run ends; its parent, the host, must then reap the supervisor.
    tokio::spawn(async move { supervisor.wait().await });
    let request = serde_json::to_vec(&request).map_err(|error| {
        refused(format!(
            "internal error: the start request for the supervisor `{program}` cannot be encoded: {error}; report this \
             bug with the host's log"
        ))
    })?;
    let exchange = async {
        // Ignore the error of a supervisor that has already exited: its response, or the missing response, decides.
        let _ = input.write_all(&request).await;
        drop(input);
        let mut response = Vec::new();
        output.read_to_end(&mut response).await.map(|_| response)
    };
    match timeout(START_TIMEOUT, exchange).await {
        Err(_) => Err(unavailable(format!("the supervisor `{program}` did not respond within {START_TIMEOUT:?}"))),
        Ok(Err(error)) => Err(unavailable(format!("cannot read the response of the supervisor `{program}`: {error}"))),
        Ok(Ok(response)) => serde_json::from_slice(&response)
            .map_err(|_| unavailable(format!("the supervisor `{program}` exited without a response"))),
    }
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

/// Runs blocking file operations on a pipeline run's folder, on tokio's thread pool for blocking work.
async fn in_folder<T: Send + 'static>(
    folder: &RunFolder,
    work: impl FnOnce(RunFolder) -> io::Result<T> + Send + 'static,
) -> Result<T, PipelineError> {
    let used = folder.clone();
    blocking(move || work(used)).await.map_err(|error| {
        let path = folder.path().display();
        unavailable(format!("cannot read or change the folder `{path}` of a pipeline run: {error}"))
    })
}

fn refused(message: String) -> PipelineError {
    PipelineError::Refused { message }
}

fn unavailable(message: String) -> PipelineError {
    PipelineError::Unavailable { message }
}
