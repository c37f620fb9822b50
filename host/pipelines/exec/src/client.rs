//! The host's side: hands orders to supervisors and reads the folders of runs.
//!
//! Nothing is kept in memory between two calls, so a host that was restarted knows as much as one that was not.

use std::{collections::BTreeMap, io, path::PathBuf, process::Stdio, time::Duration};

use async_trait::async_trait;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    process::Command,
    sync::OnceCell,
    time::{Instant, sleep, timeout},
};
use wardroom::port::{PipelineError, Pipelines, RunEnd, RunKey, RunState};

use crate::{
    config::Entry,
    folder::{RunFolder, Status, Verdict, remove_leftovers},
    order::{Answer, Order},
    output,
    reader::Reader,
};

/// How often a waiting call looks at a run's folder.
const LOOK: Duration = Duration::from_millis(60);
/// How long a supervisor may take to start a program.
const ANSWER: Duration = Duration::from_secs(60);

/// All exec pipelines of a host.
pub(crate) struct ExecPipelines {
    runs: PathBuf,
    supervisor: Vec<String>,
    entries: BTreeMap<String, Entry>,
    tidied: OnceCell<()>,
}

impl ExecPipelines {
    pub(crate) fn new(runs: PathBuf, supervisor: Vec<String>, entries: BTreeMap<String, Entry>) -> Self {
        Self { runs, supervisor, entries, tidied: OnceCell::new() }
    }

    fn folder(&self, key: &RunKey) -> Result<RunFolder, PipelineError> {
        RunFolder::of(&self.runs, key).ok_or_else(|| refused(format!("`{key}` cannot name a run")))
    }

    /// How a run stands, off the threads that must not wait for a disk.
    async fn status(&self, key: &RunKey) -> Result<(RunFolder, Status), PipelineError> {
        let folder = self.folder(key)?;
        let looked = folder.clone();
        let status = blocking(move || looked.status()).await.map_err(|error| unreadable(&folder, &error))?;
        Ok((folder, status))
    }

    /// As [`Self::status`], where there must be a run.
    async fn known(&self, key: &RunKey) -> Result<(RunFolder, Option<RunEnd>), PipelineError> {
        match self.status(key).await? {
            (_, Status::Absent) => Err(refused(format!("there is no run `{key}`"))),
            (_, Status::Over(Verdict::Refused(message))) => Err(refused(message)),
            (folder, Status::Running { .. }) => Ok((folder, None)),
            (folder, Status::Over(Verdict::Ended(end))) => Ok((folder, Some(end))),
        }
    }

    /// What the first order under a key was answered; `None` where there was none.
    async fn first_answer(&self, key: &RunKey) -> Result<Option<()>, PipelineError> {
        let deadline = Instant::now() + ANSWER;
        loop {
            match self.status(key).await?.1 {
                Status::Absent => return Ok(None),
                Status::Running { started: true } | Status::Over(Verdict::Ended(_)) => return Ok(Some(())),
                Status::Over(Verdict::Refused(message)) => return Err(refused(message)),
                Status::Running { started: false } if Instant::now() > deadline => {
                    return Err(unavailable(format!("run `{key}` was ordered and does not start")));
                }
                Status::Running { started: false } => sleep(LOOK).await,
            }
        }
    }

    async fn tidy(&self) {
        let tidy = || async {
            let runs = self.runs.clone();
            if let Err(error) = blocking(move || remove_leftovers(&runs)).await {
                tracing::warn!(folder = %self.runs.display(), %error, "cannot tidy the folder of runs");
            }
        };
        self.tidied.get_or_init(tidy).await;
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
        self.tidy().await;
        if self.first_answer(key).await?.is_some() {
            return Ok(None);
        }
        let entry = self.entries.get(pipeline).ok_or_else(|| refused(format!("there is no pipeline `{pipeline}`")))?;
        let (program, leading) =
            self.supervisor.split_first().ok_or_else(|| refused("no supervisor is named".to_owned()))?;
        let order = Order {
            runs: self.runs.clone(),
            key: key.clone(),
            pipeline: pipeline.to_owned(),
            launch: entry.launch(parameters).map_err(refused)?,
            timeout: entry.timeout,
            grace: entry.grace,
            leading: leading.to_vec(),
        };
        // A task of its own: an order goes through as a whole, also where nobody waits for its answer any more.
        let ordered = tokio::spawn(give_order(program.clone(), order));
        match ordered.await.map_err(|error| unavailable(error.to_string()))?? {
            Answer::Started => Ok(None),
            Answer::Refused(message) => Err(refused(message)),
            Answer::Failed(message) => Err(unavailable(message)),
            Answer::Taken => match self.first_answer(key).await? {
                Some(()) => Ok(None),
                None => Err(unavailable(format!("the folder of run `{key}` is gone"))),
            },
        }
    }

    async fn state(&self, key: &RunKey, _pipeline: &str) -> Result<RunState, PipelineError> {
        self.tidy().await;
        let folder = self.folder(key)?;
        let looked = folder.clone();
        let status = blocking(move || looked.settle()).await.map_err(|error| unreadable(&folder, &error))?;
        Ok(match status {
            // A program that could not be started is a run that never was.
            Status::Absent | Status::Over(Verdict::Refused(_)) => RunState::Absent,
            Status::Running { .. } => RunState::Running,
            Status::Over(Verdict::Ended(end)) => RunState::Ended(end),
        })
    }

    async fn ended(
        &self,
        key: &RunKey,
        _pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError> {
        let mut reader: Option<Reader> = None;
        loop {
            let (folder, end) = match self.known(key).await {
                // The disk is away: it may come back, and the run goes on meanwhile.
                Err(PipelineError::Unavailable { message }) => {
                    tracing::warn!(%key, message, "cannot look at a run");
                    sleep(LOOK * 20).await;
                    continue;
                }
                known => known?,
            };
            // The output is read after the look, so that none is missed that was there at the end.
            let over = end.is_some();
            let mut read = reader.take().unwrap_or_else(|| Reader::new(folder));
            let (read, lines) = blocking(move || {
                let lines = read.read(over);
                (read, lines)
            })
            .await;
            reader = Some(read);
            for text in &lines {
                line(text);
            }
            match end {
                Some(end) => return Ok(end),
                None => sleep(LOOK).await,
            }
        }
    }

    async fn output(&self, key: &RunKey, _pipeline: &str, bytes: usize) -> Result<String, PipelineError> {
        let (folder, _) = self.known(key).await?;
        let read = folder.clone();
        blocking(move || output::tail(read.path(), bytes)).await.map_err(|error| unreadable(&folder, &error))
    }

    async fn forget(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let (folder, status) = self.status(key).await?;
        match status {
            Status::Absent => Ok(()),
            Status::Running { .. } => Err(refused(format!("run `{key}` goes on"))),
            Status::Over(_) => {
                let path = folder.path().to_owned();
                let removed = blocking(move || std::fs::remove_dir_all(path)).await;
                removed.map_err(|error| unreadable(&folder, &error))
            }
        }
    }

    async fn cancel(&self, key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        let (folder, end) = self.known(key).await?;
        if end.is_some() {
            return Ok(());
        }
        let written = folder.clone();
        blocking(move || written.set_cancel()).await.map_err(|error| unreadable(&folder, &error))
    }
}

/// Starts a supervisor, hands it the order through its standard input, and gives its answer.
async fn give_order(program: String, order: Order) -> Result<Answer, PipelineError> {
    let mut supervisor = Command::new(&program)
        .args(&order.leading)
        // The host's variables may be secrets, and a supervisor needs none.
        .env_clear()
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .kill_on_drop(false)
        .spawn()
        .map_err(|error| refused(format!("cannot start the supervisor `{program}`: {error}")))?;
    let (Some(mut input), Some(mut output)) = (supervisor.stdin.take(), supervisor.stdout.take()) else {
        return Err(unavailable("the supervisor has no pipes".to_owned()));
    };
    // It lives as long as the run; whoever started it must take note of its end.
    tokio::spawn(async move { supervisor.wait().await });
    let order = serde_json::to_vec(&order).map_err(|error| refused(format!("this cannot be ordered: {error}")))?;
    let exchange = async {
        // One that is gone already says so in its answer, or has none.
        let _ = input.write_all(&order).await;
        drop(input);
        let mut answer = Vec::new();
        output.read_to_end(&mut answer).await.map(|_| answer)
    };
    match timeout(ANSWER, exchange).await {
        Err(_) => Err(unavailable(format!("the supervisor `{program}` did not answer"))),
        Ok(Err(error)) => Err(unavailable(format!("the supervisor `{program}` did not answer: {error}"))),
        Ok(Ok(answer)) => serde_json::from_slice(&answer)
            .map_err(|_| unavailable(format!("the supervisor `{program}` ended without an answer"))),
    }
}

async fn blocking<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> T {
    match tokio::task::spawn_blocking(work).await {
        Ok(done) => done,
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            // The runtime stops: so does the one who waits here.
            Err(_) => std::future::pending().await,
        },
    }
}

fn refused(message: String) -> PipelineError {
    PipelineError::Refused { message }
}

fn unavailable(message: String) -> PipelineError {
    PipelineError::Unavailable { message }
}

fn unreadable(folder: &RunFolder, error: &io::Error) -> PipelineError {
    unavailable(format!("cannot use the run's folder `{}`: {error}", folder.path().display()))
}
