//! The traits that a pipeline backend implements, for example for local commands, Jenkins, Spinnaker or Tekton.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{
    description::{PipelineDescription, RunView, TestReport},
    progress::{GateAnswer, RunEvent},
};
use crate::{
    base::{Table, TableKeys},
    model::{Outcome, RunKey},
};

/// The result of a pipeline run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Whether the pipeline run succeeded, failed, was cancelled, or has an unknown result.
    pub outcome: Outcome,
    /// The reason why the pipeline run did not succeed, as text for people: `exit code 3`, `timed out after 10 min`.
    pub message: String,
    /// The time at which the pipeline run started.
    pub started: Timestamp,
    /// The time at which the pipeline run ended. If the backend does not report this time, the time at which the host
    /// detected the end.
    pub ended: Timestamp,
    /// Additional facts about the pipeline run by name: `exit-code`, `step`. The job's closing message contains the fact
    /// with the name [`RunEnd::NOTE`].
    pub details: BTreeMap<String, String>,
}

impl RunEnd {
    /// The name of a fact that the people in the room must read: one sentence or more, which the host adds to the
    /// closing message of the job.
    pub const NOTE: &'static str = "note";
}

/// The state of a pipeline run. After a crash, the engine uses the state to resolve an effect in doubt, which is an
/// effect that may have happened, but whose result was not stored. With [`RunState::Absent`], the effect did not
/// happen. With [`RunState::Running`] or [`RunState::Ended`], the effect happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// No pipeline run was started with this idempotency key, and none will ever start with this key. The state is
    /// final.
    Absent,
    /// The pipeline run has not ended yet.
    Running,
    /// The pipeline run has ended.
    Ended(RunEnd),
    /// The backend cannot determine whether a pipeline run was started. The text is the reason. The engine then asks
    /// the people in the room to decide.
    Unknowable(String),
}

/// The error of a request to a pipeline backend.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The backend refused the request. Nothing was started, and a retry would be refused too.
    #[error("{message}")]
    Refused {
        /// The reason, shown in the room.
        message: String,
    },
    /// The backend did not respond, so it is unknown whether a pipeline run was started. The engine calls
    /// [`Pipelines::state`] later.
    #[error("{message}")]
    Unavailable {
        /// The reason, shown in the room.
        message: String,
    },
}

/// A pipeline backend. The backend starts pipeline runs under idempotency keys, and reports their states and results.
///
/// ```
/// use wardroom::prelude::*;
///
/// let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
/// assert!(pipelines.runs().is_empty());
/// ```
#[async_trait]
pub trait Pipelines: Send + Sync + 'static {
    /// Starts a pipeline run under the idempotency key `key`. `pipeline` and `parameters` are the name of the pipeline
    /// and the values of its parameters, which the engine has already checked against their patterns. Returns a web
    /// link to the pipeline run; `None` if the backend has no links.
    ///
    /// A second call with the same key must return the result of the first call and must not start a second pipeline
    /// run. If [`Pipelines::state`] returned [`RunState::Absent`] for this key earlier, this method must refuse the
    /// call.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] if the pipeline run was not started; [`PipelineError::Unavailable`] if it is unknown
    /// whether the pipeline run was started.
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError>;

    /// Returns the state of the pipeline run with this key.
    ///
    /// After this method has returned [`RunState::Absent`] for a key, no pipeline run may ever start with this key.
    /// This also applies to a call of [`Pipelines::start`] that is still in progress or that a crashed host made. The
    /// caller must therefore not call this method for a key that it still wants to use in [`Pipelines::start`].
    ///
    /// # Errors
    /// [`PipelineError::Unavailable`] while the backend is unavailable.
    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError>;

    /// Waits until the pipeline run with the idempotency key `key` has ended, and returns the result of the pipeline
    /// run. Until then, passes new lines of the pipeline run's output and changes of its stages to the callback `event`,
    /// but may leave out lines. The caller can drop the future and call the method again, even after the pipeline run has ended.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] if no pipeline run has this key. If the backend is unavailable, the method retries.
    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        event: &mut (dyn for<'event> FnMut(RunEvent<'event>) + Send),
    ) -> Result<RunEnd, PipelineError>;

    /// Returns the last lines of a pipeline run's output, at most `bytes` bytes.
    ///
    /// # Errors
    /// [`PipelineError`] if the backend refused the request or did not respond.
    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError>;

    /// Deletes the host's own data about a pipeline run, for example its output file. The engine calls this method
    /// once, after the job that started the pipeline run was deleted from the database. If the host is killed before
    /// the call, the data is never deleted. Must not stop a pipeline run. The default does nothing.
    ///
    /// # Errors
    /// [`PipelineError`] if the data could not be deleted.
    async fn forget(&self, _key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        Ok(())
    }

    /// Requests the cancellation of a pipeline run. The pipeline run may continue for a while; [`Pipelines::ended`]
    /// returns when the pipeline run has ended.
    ///
    /// # Errors
    /// [`PipelineError`] if the backend refused the request or did not respond.
    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError>;

    /// Returns the paths of the system's pipelines that contain `filter`, at most `most`.
    ///
    /// # Errors
    /// [`PipelineError`] if the system refused the request or did not respond. The default implementation refuses.
    async fn list(&self, _filter: &str, _most: usize) -> Result<Vec<String>, PipelineError> {
        Err(unsupported("list its pipelines"))
    }

    /// Returns the parameters and the newest runs of a pipeline. `pipeline` is the name of a configured pipeline, or
    /// `SYSTEM:PATH` for another pipeline of the system. [`Pipelines::start`] also gets such names.
    ///
    /// # Errors
    /// As [`Pipelines::list`].
    async fn describe(&self, _pipeline: &str) -> Result<PipelineDescription, PipelineError> {
        Err(unsupported("describe its pipelines"))
    }

    /// Returns the state of a run. `run` is the id of the run in the system, or the key of a run that the host started.
    ///
    /// # Errors
    /// As [`Pipelines::list`].
    async fn view(&self, _pipeline: &str, _run: &str) -> Result<RunView, PipelineError> {
        Err(unsupported("show a run"))
    }

    /// Returns the last lines of the output of a run, at most `bytes` bytes. `run` as in [`Pipelines::view`].
    ///
    /// # Errors
    /// As [`Pipelines::list`].
    async fn output_of(&self, _pipeline: &str, _run: &str, _bytes: usize) -> Result<String, PipelineError> {
        Err(unsupported("show the output of a run"))
    }

    /// Returns the results of the tests of a run. `run` as in [`Pipelines::view`].
    ///
    /// # Errors
    /// As [`Pipelines::list`].
    async fn tests(&self, _pipeline: &str, _run: &str) -> Result<TestReport, PipelineError> {
        Err(unsupported("show the tests of a run"))
    }

    /// Asks the system to stop a run. `run` as in [`Pipelines::view`]. A run that has ended is not changed.
    ///
    /// # Errors
    /// As [`Pipelines::list`]. [`PipelineError::Refused`]: nothing was changed.
    async fn stop(&self, _pipeline: &str, _run: &str) -> Result<(), PipelineError> {
        Err(unsupported("stop a run that the host did not start"))
    }

    /// Answers a gate of a run. `run` as in [`Pipelines::view`]; `gate` is the id of the gate.
    ///
    /// # Errors
    /// As [`Pipelines::list`]. [`PipelineError::Refused`]: nothing was changed.
    async fn answer(
        &self,
        _pipeline: &str,
        _run: &str,
        _gate: &str,
        _answer: &GateAnswer,
    ) -> Result<(), PipelineError> {
        Err(unsupported("answer a gate"))
    }

    /// Runs the checks of `wardroom check --connect`: signs in, and checks the permissions that the configured pipelines
    /// need. Starts and changes nothing. Returns one line per passed check. The default checks nothing.
    ///
    /// # Errors
    /// Returns one line of text per failed check.
    async fn probe(&self) -> Result<Vec<String>, Vec<String>> {
        Ok(Vec::new())
    }
}

fn unsupported(what: &str) -> PipelineError {
    PipelineError::Refused { message: format!("this kind of pipeline system cannot {what}") }
}

/// Creates the pipeline backends of one kind from the configuration.
///
/// ```
/// use wardroom::prelude::*;
///
/// let factory = MemoryPipelines::new(None);
/// assert_eq!(factory.kind(), "memory");
/// ```
pub trait PipelinesFactory: Send + Sync + 'static {
    /// Returns the value of the key `kind` in `[pipelines.NAME]` that selects these backends: `jenkins`.
    fn kind(&self) -> &'static str;

    /// Returns the key in `[app.A.deploy.E]` that selects this kind of backend without a `[pipelines.NAME]` table, for
    /// example `run` for local commands. Returns `None` if this kind requires a `[pipelines.NAME]` table.
    fn inline_key(&self) -> Option<&'static str>;

    /// Returns the keys that a pipeline on this kind of backend has in `[app.NAME.deploy.ENVIRONMENT]`, in addition to
    /// `pipeline` and `parameters`.
    fn keys(&self) -> &'static TableKeys;

    /// Returns the keys that this kind of backend has in `[pipelines.NAME]`, in addition to `kind`. The default
    /// implementation returns no keys.
    fn system_keys(&self) -> &'static TableKeys {
        &TableKeys::NONE
    }

    /// Reads the table `[pipelines.NAME]` of one backend, and returns the builder of this backend. If `table` is
    /// `None`, returns the builder of the backend for inline pipelines, which all inline pipelines of this kind share.
    /// If a value in `table` is not valid, adds a configuration problem to the table's list and returns `None`.
    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>>;
}

/// Collects the pipelines of one backend from the configuration, and then creates the backend.
pub trait PipelinesBuilder: Send {
    /// Reads the table `[app.A.deploy.E]` of one pipeline, and adds a configuration problem for each invalid value.
    /// `name` is the name of the pipeline, `A/E`. `path` is the text after the colon of `pipeline = "ci:path"`; `None`
    /// for an inline pipeline. The caller has already read the keys `pipeline` and `parameters`; `parameters` lists the
    /// names of the pipeline's parameters.
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table);

    /// Creates the backend after all its pipelines were read. Must not connect.
    fn build(self: Box<Self>) -> Arc<dyn Pipelines>;
}
