//! A system that runs pipelines: local commands, Jenkins, Spinnaker, Tekton.

use std::{collections::BTreeMap, sync::Arc};

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{
    base::Table,
    model::{Outcome, RunKey},
};

/// How a run ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunEnd {
    /// How.
    pub outcome: Outcome,
    /// Why, for people, where it did not succeed: `exit code 3`, `timed out after 10 min`.
    pub message: String,
    /// When it began.
    pub started: Timestamp,
    /// When it ended; where nobody knows, when that was found out.
    pub ended: Timestamp,
    /// What else is known: `exit-code`, `step`.
    pub details: BTreeMap<String, String>,
}

/// How a run stands. This is also the answer to an effect in doubt: [`RunState::Absent`] means that it
/// did not happen, [`RunState::Running`] and [`RunState::Ended`] that it did.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RunState {
    /// No run was ever started under this key, and none will be: this answer is final.
    Absent,
    /// It goes on.
    Running,
    /// It is over.
    Ended(RunEnd),
    /// The system cannot say whether there was one; people must be asked.
    Unknowable(String),
}

/// Why a pipelines system did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum PipelineError {
    /// Nothing was started, and asking again in the same way changes nothing.
    #[error("{message}")]
    Refused {
        /// For the room.
        message: String,
    },
    /// The system is away. Nobody knows whether the run was started: ask [`Pipelines::state`].
    #[error("{message}")]
    Unavailable {
        /// For the room.
        message: String,
    },
}

/// One pipelines system.
#[async_trait]
pub trait Pipelines: Send + Sync + 'static {
    /// Starts a run under a key. A second call under the same key must not start a second run: it
    /// answers as the first did. Nor may one start a run after [`Pipelines::state`] has said
    /// [`RunState::Absent`] of the key: it is refused. Parameters were checked against their patterns.
    /// Gives where people can look at it, if anywhere.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn start(
        &self,
        key: &RunKey,
        pipeline: &str,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Option<String>, PipelineError>;

    /// How the run under a key stands.
    ///
    /// An answer of [`RunState::Absent`] is final: a start under this key that is still on its way, also
    /// one of a host that died, must start nothing afterwards, and a later one is refused. So this is no
    /// question to ask about a key that somebody means to start a run under.
    ///
    /// # Errors
    /// [`PipelineError::Unavailable`] while the system cannot be asked.
    async fn state(&self, key: &RunKey, pipeline: &str) -> Result<RunState, PipelineError>;

    /// Waits for a run's end. `line` is given each new line of its output, best effort. Safe to drop
    /// and to call again, also for a run that ended long ago.
    ///
    /// # Errors
    /// [`PipelineError::Refused`] where there is no such run; while the system is away it keeps trying.
    async fn ended(
        &self,
        key: &RunKey,
        pipeline: &str,
        line: &mut (dyn for<'line> FnMut(&'line str) + Send),
    ) -> Result<RunEnd, PipelineError>;

    /// The last lines of a run's output, at most so many bytes, as text.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn output(&self, key: &RunKey, pipeline: &str, bytes: usize) -> Result<String, PipelineError>;

    /// The job of this run was removed: what this host itself keeps of it can go. Nothing if nothing is said. Called at most
    /// once, and perhaps never (the host may be killed before it); must not stop a run that goes on.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn forget(&self, _key: &RunKey, _pipeline: &str) -> Result<(), PipelineError> {
        Ok(())
    }

    /// Asks for a run to be stopped. It is stopped when [`Pipelines::ended`] says so.
    ///
    /// # Errors
    /// [`PipelineError`].
    async fn cancel(&self, key: &RunKey, pipeline: &str) -> Result<(), PipelineError>;
}

/// Reads the pipelines of one system from the configuration.
pub trait PipelinesFactory: Send + Sync + 'static {
    /// The `kind` in `[pipelines.NAME]`.
    fn kind(&self) -> &'static str;

    /// The key that, in `[app.A.deploy.E]` itself, asks for this kind without a `[pipelines.*]` table
    /// (`run` for exec); the table's other keys are then this kind's.
    fn inline_key(&self) -> Option<&'static str>;

    /// Reads `[pipelines.NAME]`, or makes the system that inline pipelines of this kind share where
    /// `table` is `None`. Problems go to the table's list; `None` where there were any.
    fn system(&self, table: Option<&mut Table>) -> Option<Box<dyn PipelinesBuilder>>;
}

/// A system while its pipelines are being read.
pub trait PipelinesBuilder: Send {
    /// Reads one `[app.A.deploy.E]`. `path` is what stands behind the colon of `pipeline = "ci:path"`,
    /// `None` for an inline one. The keys `pipeline` and `parameters` were read; `parameters` are the names that exist.
    /// Problems go to the table's list.
    fn pipeline(&mut self, name: &str, path: Option<&str>, parameters: &[String], table: &mut Table);

    /// All are read. Must not connect.
    fn build(self: Box<Self>) -> Arc<dyn Pipelines>;
}
