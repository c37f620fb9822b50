//! The traits of a pipeline backend: local commands, Jenkins, Spinnaker, Tekton.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    base::{NO_KEYS, Table, TableKeys},
    model::{Outcome, RunKey},
};

/// The end of a run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// The outcome of the run.
    pub outcome: Outcome,
    /// The reason for people, if it did not succeed: `exit code 3`, `timed out after 10 min`.
    pub message: String,
    /// The time at which the run started.
    pub started: Timestamp,
    /// The time of the end; if it is unknown, the time at which the end was detected.
    pub ended: Timestamp,
    /// Additional facts: `exit-code`, `step`.
    pub details: BTreeMap<String, String>,
}

/// The state of a run. It also resolves an effect in doubt: with [`RunState::Absent`] the effect did not happen; with
/// [`RunState::Running`] and [`RunState::Ended`] it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// No run was started with this key, and none ever will be. This answer is final.
    Absent,
    /// The run has not ended yet.
    Running,
    /// The run has ended.
    Ended(RunEnd),
    /// The backend cannot determine whether there was a run; people are asked.
    Unknowable(String),
}

/// The errors of a backend.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// The backend refused. Nothing was started, and a retry is refused too.
    #[error("{message}")]
    Refused {
        /// The reason, for the room.
        message: String,
    },
    /// The backend is unavailable. Whether the run was started is unknown; call [`Pipelines::state`].
    #[error("{message}")]
    Unavailable {
        /// The reason, for the room.
        message: String,
    },
}

/// A pipeline backend.
///
/// ```
/// use wardroom::prelude::*;
///
/// let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
/// assert!(pipelines.runs().is_empty());
/// ```
#[async_trait]
pub trait Pipelines: Send + Sync + 'static {
    /// Starts a run under an idempotency key. A second call with the same key must not start a second run and returns
    /// the result of the first. A call after [`Pipelines::state`] returned [`RunState::Absent`] for the key must be
    /// refused. The parameters were checked against their patterns. Returns a link to the run, if there is one.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError>;

    /// The state of the run with this key.
    ///
    /// [`RunState::Absent`] is final: a start with this key that is still in progress, even one of a crashed host, must
    /// not start a run afterwards, and later ones are refused. So never call it for a key that is about to be started.
    ///
    /// # Errors
    /// [`PipelineError::Unavailable`] while the backend is unavailable.
    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError>;

    /// Waits for the end of a run. `line` receives new output lines, best effort. The future can be dropped and the
    /// method called again, also after the run has ended.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] if there is no such run. While the backend is unavailable it retries.
    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError>;

    /// The last lines of a run's output, at most `bytes` bytes.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError>;

    /// Removes the host's own data about a run whose job was removed. Called at most once, or never if the host is
    /// killed before. Must not stop a running run. The default does nothing.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn forget(&self, _key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        Ok(())
    }

    /// Requests the cancellation of a run. The run is cancelled when [`Pipelines::ended`] returns.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError>;
}

/// Creates backends of one kind from the configuration.
///
/// ```
/// use wardroom::prelude::*;
///
/// let factory = MemoryPipelinesFactory(MemoryPipelines::new(None));
/// assert_eq!(factory.kind(), "memory");
/// ```
pub trait PipelinesFactory: Send + Sync + 'static {
    /// The `kind` in `[pipelines.NAME]`.
    fn kind(&self) -> &'static str;

    /// The key in `[app.A.deploy.E]` that selects this kind without a `[pipelines.*]` table (`run` for exec). The other
    /// keys of the table then belong to this kind.
    fn inline_key(&self) -> Option<&'static str>;

    /// The keys of a pipeline of this kind in `[app.NAME.deploy.ENVIRONMENT]`, beside `pipeline` and `parameters`.
    fn keys(&self) -> &'static TableKeys;

    /// The keys of `[pipelines.NAME]` of this kind, beside `kind`; none if it has none of its own.
    fn system_keys(&self) -> &'static TableKeys {
        &NO_KEYS
    }

    /// Reads `[pipelines.NAME]`; with `None`, creates the backend that the inline pipelines of this kind share.
    /// Problems are added to the table's list, and the result is then `None`.
    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>>;
}

/// A backend whose pipelines are being read.
pub trait PipelinesBuilder: Send {
    /// Reads one `[app.A.deploy.E]`. `path` is the text after the colon of `pipeline = "ci:path"`, and `None` for an
    /// inline pipeline. The keys `pipeline` and `parameters` were already read; `parameters` are the names of the
    /// parameters. Problems are added to the table's list.
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table);

    /// Finishes the backend after all pipelines were read. Must not connect.
    fn build(self: Box<Self>) -> Arc<dyn Pipelines>;
}
