//! The traits that a pipeline backend implements, for example for local commands, Jenkins, Spinnaker or Tekton.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    base::{Table, TableKeys},
    model::{Outcome, RunKey},
};

/// The result of a run that has ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// Whether the run succeeded, failed, was cancelled, or has an unknown result.
    pub outcome: Outcome,
    /// The reason why the run did not succeed, as text for people: `exit code 3`, `timed out after 10 min`.
    pub message: String,
    /// The time at which the run started.
    pub started: Timestamp,
    /// The time at which the run ended. If the backend does not report it, the time at which the end was detected.
    pub ended: Timestamp,
    /// Additional facts by name: `exit-code`, `step`.
    pub details: BTreeMap<String, String>,
}

/// The state of a run. After a crash it resolves an effect in doubt: with [`RunState::Absent`] the effect did not
/// happen; with [`RunState::Running`] and [`RunState::Ended`] it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// No run was started with the key, and none ever will be. This answer is final.
    Absent,
    /// The run has not ended yet.
    Running,
    /// The run has ended.
    Ended(RunEnd),
    /// The backend cannot determine whether a run was started, for the given reason. The engine then asks people in
    /// the room.
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
    /// The backend did not answer, so it is unknown whether a run was started. [`Pipelines::state`] determines it
    /// later.
    #[error("{message}")]
    Unavailable {
        /// The reason, shown in the room.
        message: String,
    },
}

/// A pipeline backend. It starts runs under idempotency keys, and reports their state and result.
///
/// ```
/// use wardroom::prelude::*;
///
/// let pipelines = MemoryPipelines::new(Some(Outcome::Succeeded));
/// assert!(pipelines.runs().is_empty());
/// ```
#[async_trait]
pub trait Pipelines: Send + Sync + 'static {
    /// Starts a run under an idempotency key. A second call with the same key must not start a second run, and
    /// returns the result of the first call. After [`Pipelines::state`] returned [`RunState::Absent`] for a key, this
    /// method must refuse the key. The engine has already checked the parameters against their patterns. Returns a
    /// link to the run, if the backend has one.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError>;

    /// Returns the state of the run with this key.
    ///
    /// [`RunState::Absent`] is final: no run may start with the key afterwards, even by a call of [`Pipelines::start`]
    /// that is still in progress or was made by a crashed host. So never call this for a key that is about to be used.
    ///
    /// # Errors
    /// [`PipelineError::Unavailable`] while the backend is unavailable.
    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError>;

    /// Waits until a run has ended. Passes new lines of its output to `line`, best effort. The caller can drop the
    /// future and call the method again, also after the run has ended.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] if no run has this key. If the backend is unavailable, the method retries.
    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError>;

    /// Returns the last lines of a run's output, at most `bytes` bytes.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError>;

    /// Deletes the host's own data about a run, for example its output file. The engine calls this once, after it
    /// deleted the run's job; the call is lost if the host is killed in between. Must not stop a run. The default
    /// does nothing.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn forget(&self, _key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        Ok(())
    }

    /// Requests the cancellation of a run. The run has ended only when [`Pipelines::ended`] returns.
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
/// let factory = MemoryPipelines::new(None);
/// assert_eq!(factory.kind(), "memory");
/// ```
pub trait PipelinesFactory: Send + Sync + 'static {
    /// Returns the value of `kind` in `[pipelines.NAME]`: `jenkins`.
    fn kind(&self) -> &'static str;

    /// Returns the key in `[app.A.deploy.E]` that selects this kind without a `[pipelines.NAME]` table, for example
    /// `run` for local commands. Returns `None` if the kind requires such a table.
    fn inline_key(&self) -> Option<&'static str>;

    /// Returns the keys of a pipeline of this kind in `[app.NAME.deploy.ENVIRONMENT]`, in addition to `pipeline` and
    /// `parameters`.
    fn keys(&self) -> &'static TableKeys;

    /// Returns the keys of a `[pipelines.NAME]` table of this kind, in addition to `kind`. The default has no keys.
    fn system_keys(&self) -> &'static TableKeys {
        &TableKeys::NONE
    }

    /// Reads a `[pipelines.NAME]` table. Without a table, creates the backend that all inline pipelines of this kind
    /// share. If a value is not valid, adds a problem to the table's list and returns `None`.
    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>>;
}

/// Collects the pipelines of one backend from the configuration, then creates the backend.
pub trait PipelinesBuilder: Send {
    /// Reads one `[app.A.deploy.E]` table. `name` is `A/E`. `path` is the text after the colon of `pipeline =
    /// "ci:path"`; `None` for an inline pipeline. The caller has already read the keys `pipeline` and `parameters`,
    /// and passes the names of the parameters. Adds problems to the table's list.
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table);

    /// Creates the backend after all its pipelines were read. Must not connect.
    fn build(self: Box<Self>) -> Arc<dyn Pipelines>;
}
