//! How far a pipeline run is: its stages, the gates at which it waits for a person, and its output.

use serde::{Deserialize, Serialize};

/// News about a pipeline run that has not ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RunEvent<'e> {
    /// A new line of the output.
    Line(&'e str),
    /// The stages or gates of the run have changed.
    Progress(&'e RunProgress),
}

/// The stages and gates of a pipeline run.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct RunProgress {
    /// The stages, in their order.
    pub stages: Vec<Stage>,
    /// The gates at which the run waits for a person.
    pub gates: Vec<Gate>,
}

/// A stage of a pipeline run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stage {
    /// The name of the stage in the pipeline's system.
    pub name: String,
    /// How far the stage is.
    pub state: StageState,
}

/// How far a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum StageState {
    /// The stage has not begun.
    Pending,
    /// The stage runs.
    Running,
    /// The stage waits for a person or is paused.
    Paused,
    /// The stage has succeeded.
    Succeeded,
    /// The stage has failed.
    Failed,
    /// The stage was cancelled.
    Cancelled,
    /// The stage was left out.
    Skipped,
}

/// A point at which a pipeline run waits for a person, for example a manual judgement or an input step.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Gate {
    /// The id of the gate. It is unique in its run.
    pub id: String,
    /// The question for people.
    pub message: String,
    /// The answers between which the person can choose when they let the run go on. Empty if there is only one.
    pub choices: Vec<String>,
}

/// The answer to a gate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GateAnswer {
    /// Whether the run goes on.
    pub proceeds: bool,
    /// One of the gate's choices, if it has some.
    pub choice: Option<String>,
    /// The person who answers.
    pub person: String,
}
