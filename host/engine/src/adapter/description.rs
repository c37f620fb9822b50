//! What a pipeline system says about its pipelines and about any of their runs, also about runs that the host did not
//! start.

use jiff::Timestamp;

use super::progress::RunProgress;
use crate::model::Outcome;

/// A pipeline as its system shows it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PipelineDescription {
    /// The parameters that the pipeline takes.
    pub parameters: Vec<ParameterDescription>,
    /// The newest runs, newest first. Their progress is empty.
    pub runs: Vec<RunView>,
}

/// A parameter of a pipeline in its system.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ParameterDescription {
    /// The name in the system.
    pub name: String,
    /// One line for people; can be empty.
    pub description: String,
    /// Whether a run needs a value.
    pub required: bool,
    /// The value of a run that sets none, if there is one. Never the value of a secret.
    pub default: Option<String>,
    /// The values that the system accepts; empty if it accepts others too.
    pub choices: Vec<String>,
}

/// A run as its system shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunView {
    /// The id of the run in the system, for example `17`.
    pub id: String,
    /// Whether the run waits and has not begun.
    pub is_waiting: bool,
    /// The outcome; `None` if the run has not ended.
    pub outcome: Option<Outcome>,
    /// Why the run waits or did not succeed. Can be empty.
    pub message: String,
    /// The start of the run; `None` if it is not known.
    pub started: Option<Timestamp>,
    /// The end of the run; `None` if it has not ended.
    pub ended: Option<Timestamp>,
    /// The page of the run, if it has one.
    pub url: Option<String>,
    /// The stages, and the gates at which the run waits.
    pub progress: RunProgress,
}

/// The results of the tests of a run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct TestReport {
    /// The number of tests that passed.
    pub passed: u32,
    /// The number of tests that failed.
    pub failed: u32,
    /// The number of tests that were left out.
    pub skipped: u32,
    /// The names of tests that failed.
    pub names: Vec<String>,
}
