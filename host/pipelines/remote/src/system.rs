//! What a backend implements for its kind of server.
//!
//! Not here: files of runs, retries of a cancellation, polling and following, which are the same for each kind
//! ([`RemotePipelines`](crate::RemotePipelines)).

use std::{collections::BTreeMap, fmt::Debug, time::Duration};

use async_trait::async_trait;
use serde::{Serialize, de::DeserializeOwned};
use wardroom::{
    Timestamp,
    adapter::{Gate, GateAnswer, PipelineDescription, RunEnd, Stage, TestReport},
    model::RunKey,
};

use crate::RemoteError;

/// A value that is stored in the file of a run.
pub trait Stored: Clone + Eq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static {}

impl<T: Clone + Eq + Debug + Serialize + DeserializeOwned + Send + Sync + 'static> Stored for T {}

/// A server that runs pipelines, for example a Jenkins. All methods make requests, unless they say that they make none.
///
/// The caller never calls [`System::trigger`] twice for a key, and never after [`System::search`] found out that nothing
/// was started.
#[async_trait]
pub trait System: Send + Sync + Sized + 'static {
    /// What is sent to start a run, and what a search for the run needs: the pipeline on the server, the values, the
    /// state of the server before the start. It is stored before the trigger is sent. It contains no secret.
    type Request: Stored;
    /// What identifies a started run on the server, for example a queue item or the number of a build.
    type Run: Stored;
    /// How far the output of a run was read. The default value is its beginning.
    type Log: Default + Send;

    /// The name of the software for people: `Jenkins`.
    const NAME: &'static str;
    /// How often [`System::stop`] is called at most for one run, each time with more force. At least 1.
    const STOPS: usize = 1;

    /// Checks the values of a run, and returns the request that starts it. Starts nothing.
    ///
    /// # Errors
    /// The run cannot be started with these values, or the server is unavailable.
    async fn prepare(
        &self,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self::Request, RemoteError>;

    /// Sends the request that starts a run, once, with the key where the server can keep it.
    ///
    /// # Errors
    /// Nothing was started, unless [`RemoteError::may_be_done`] is true.
    async fn trigger(&self, key: &RunKey, request: &Self::Request) -> Result<Self::Run, RemoteError>;

    /// Searches for the run of a trigger without an answer.
    ///
    /// # Errors
    /// The server is unavailable or refuses the search, so that nothing is known.
    async fn search(&self, lost: &Lost<'_, Self>) -> Result<Found<Self::Run>, RemoteError>;

    /// Searches for a run of which the host has no file, because the files of the backend were lost.
    ///
    /// # Errors
    /// The server is unavailable or refuses the search, so that nothing is known.
    async fn search_unknown(
        &self,
        key: &RunKey,
        pipeline: &str,
    ) -> Result<Found<(Self::Request, Self::Run)>, RemoteError>;

    /// Asks how far runs are, with as few requests as possible. Runs that were not looked at this time are not in the
    /// result.
    async fn observe(&self, runs: &[Open<Self>]) -> Observed<Self>;

    /// Reads the new output of a run from `log` on. Long output may be left out, which a line then says.
    ///
    /// # Errors
    /// The output cannot be read now.
    async fn log(&self, open: &Open<Self>, log: &mut Self::Log) -> Result<LogPart, RemoteError>;

    /// Returns the incomplete last line of the output that was read, if there is one. Makes no request.
    fn rest_of_log(&self, log: &mut Self::Log) -> Vec<String>;

    /// Returns the last lines of the output of a run, at most `bytes` bytes.
    ///
    /// # Errors
    /// The output cannot be read now.
    async fn tail(&self, open: &Open<Self>, bytes: usize) -> Result<String, RemoteError>;

    /// Asks the server to stop a run. `attempt` is 0 for the first request; each further one uses more force, if the
    /// server has such a request. A run that has ended is not changed.
    ///
    /// # Errors
    /// The server is unavailable or refuses the request.
    async fn stop(&self, open: &Open<Self>, attempt: usize) -> Result<Stop<Self::Run>, RemoteError>;

    /// Returns the timeout of a request to the server.
    fn timeout(&self) -> Duration;

    /// Returns the page of a run, or of its pipeline while the run has no page. Makes no request.
    fn url(&self, request: &Self::Request, run: Option<&Self::Run>) -> Option<String>;

    /// Returns the pipeline of a request for people, with its kind: ``job `web/cms` ``. Makes no request.
    fn pipeline(&self, request: &Self::Request) -> String;

    /// Returns how a run is called, for a line that says that it has begun: `build #17`. `None` while it waits. Makes no
    /// request.
    fn title(&self, run: &Self::Run) -> Option<String>;

    /// Asks for the state of one run, with its stages and gates. The default implementation calls [`System::observe`].
    ///
    /// # Errors
    /// The server is unavailable or refuses the request.
    async fn look(&self, open: &Open<Self>) -> Result<Observation<Self::Run>, RemoteError> {
        let mut observed = self.observe(std::slice::from_ref(open)).await;
        observed.remove(&open.key).unwrap_or_else(|| Err(RemoteError::not_sent("the run was not looked at; try again")))
    }

    /// Returns the paths of the server's pipelines that contain `filter`, at most `most`, in their order.
    ///
    /// # Errors
    /// The server is unavailable or refuses the request. The default implementation refuses.
    async fn list(&self, _filter: &str, _most: usize) -> Result<Vec<String>, RemoteError> {
        Err(RemoteError::rejected(format!("the pipelines of {} cannot be listed", Self::NAME)))
    }

    /// Returns the parameters and the newest runs of a pipeline. `pipeline` is the name of a configured pipeline, or
    /// `SYSTEM:PATH`.
    ///
    /// # Errors
    /// The server is unavailable or refuses the request. The default implementation refuses.
    async fn describe(&self, _pipeline: &str) -> Result<PipelineDescription, RemoteError> {
        Err(RemoteError::rejected(format!("the pipelines of {} cannot be described", Self::NAME)))
    }

    /// Returns the run of a pipeline with an id of the server, so that [`System::look`] can ask for its state. Makes no
    /// request if it need not.
    ///
    /// # Errors
    /// The id is not one of the server, or the server is unavailable. The default implementation refuses.
    async fn locate(&self, _pipeline: &str, _run: &str) -> Result<(Self::Request, Self::Run), RemoteError> {
        Err(RemoteError::rejected(format!("runs of {} that the host did not start cannot be shown", Self::NAME)))
    }

    /// Returns the id of a run for people, which [`System::locate`] accepts: `17`. `None` while the run has none. Makes no
    /// request.
    fn id(&self, _run: &Self::Run) -> Option<String> {
        None
    }

    /// Forgets what is kept in memory about a run that nobody follows any more. The default implementation does nothing.
    fn forget(&self, _key: &RunKey) {}

    /// Returns the results of the tests of a run.
    ///
    /// # Errors
    /// The server is unavailable or has no results. The default implementation refuses.
    async fn tests(&self, _open: &Open<Self>) -> Result<TestReport, RemoteError> {
        Err(RemoteError::rejected(format!("{} has no test results", Self::NAME)))
    }

    /// Answers a gate of a run.
    ///
    /// # Errors
    /// The server is unavailable or refuses the answer. The default implementation refuses each answer.
    async fn answer(&self, _open: &Open<Self>, _gate: &str, _answer: &GateAnswer) -> Result<(), RemoteError> {
        Err(RemoteError::rejected(format!("the pipelines of {} have no gates", Self::NAME)))
    }

    /// Checks the connection and the permissions that the configured pipelines need, for `wardroom check --connect`.
    /// Changes nothing. Returns one line per passed check. The default implementation checks nothing.
    ///
    /// # Errors
    /// One line per failed check.
    async fn probe(&self) -> Result<Vec<String>, Vec<String>> {
        Ok(Vec::new())
    }
}

/// A run that was started.
pub struct Open<S: System> {
    /// The idempotency key.
    pub key: RunKey,
    /// What started the run.
    pub request: S::Request,
    /// What identifies the run on the server.
    pub run: S::Run,
    /// The time at which the start was requested, of the host's clock.
    pub requested: Timestamp,
}

impl<S: System> Clone for Open<S> {
    fn clone(&self) -> Self {
        let Self { key, request, run, requested } = self;
        Self { key: key.clone(), request: request.clone(), run: run.clone(), requested: *requested }
    }
}

/// A trigger without an answer.
pub struct Lost<'l, S: System> {
    /// The idempotency key.
    pub key: &'l RunKey,
    /// What was sent.
    pub request: &'l S::Request,
    /// The time before the trigger was sent, of the host's clock.
    pub requested: Timestamp,
    /// The runs of other keys that this backend has started.
    pub others: &'l [(S::Request, S::Run)],
    /// The requests of other triggers without an answer.
    pub rivals: &'l [S::Request],
    /// Whether `others` and `rivals` have all runs. It is false if files cannot be read.
    pub are_all_known: bool,
}

/// The result of a search.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Found<R> {
    /// The run.
    Run(R),
    /// Nothing was started so far, and the search was complete.
    Nothing,
    /// It cannot be known. The text is the reason.
    Unclear(String),
}

/// What an observation found out, by the key of the run.
pub type Observed<S> = BTreeMap<RunKey, Result<Observation<<S as System>::Run>, RemoteError>>;

/// What the server says about a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation<R> {
    /// The run waits or runs.
    Open(Progress<R>),
    /// The run has ended.
    Ended {
        /// What identifies the run from now on.
        run: R,
        /// The result.
        end: RunEnd,
    },
    /// The server does not know the run. If it says so for a while, the run ends with this result.
    Missing(RunEnd),
}

/// How far a run is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Progress<R> {
    /// What identifies the run from now on.
    pub run: R,
    /// Why the run has not begun, in the words of the server.
    pub waits: Option<String>,
    /// The start of the run, if it is known.
    pub started: Option<Timestamp>,
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// The gates at which the run waits for a person.
    pub gates: Vec<Gate>,
}

impl<R> Progress<R> {
    /// The progress of a run of which nothing else is known.
    pub fn of(run: R) -> Self {
        Self { run, waits: None, started: None, stages: Vec::new(), gates: Vec::new() }
    }
}

/// A part of the output of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogPart {
    /// The lines that were completed.
    pub lines: Vec<String>,
    /// Whether the server has more output, or will have more.
    pub has_more: bool,
}

/// The answer to a request to stop a run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Stop<R> {
    /// The server accepted the request. The run ends later.
    Requested,
    /// Nothing is left to stop, and no further request helps.
    Done,
    /// The run has got another identity in the meantime. It must be stopped under that one.
    Moved(R),
}
