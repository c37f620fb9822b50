//! How far a pipeline run is: its stages, the gates at which it waits for a person, and its output.

use serde::{Deserialize, Serialize};

/// The maximum number of stages that the summary names.
const MAX_NAMES: usize = 3;

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

impl RunProgress {
    /// Returns the progress as a part of a sentence: `stage 2 of 4: Deploy`. A gate is added, because somebody must answer
    /// it. Returns an empty text if nothing is known.
    pub(crate) fn summary(&self) -> String {
        let stages = self.stages.len();
        let open = |stage: &Stage| matches!(stage.state, StageState::Running | StageState::Paused);
        let current: Vec<(usize, &str)> = (1..)
            .zip(&self.stages)
            .filter(|(_, stage)| open(stage))
            .map(|(number, stage)| (number, stage.name.as_str()))
            .collect();
        let mut parts = Vec::new();
        match current.as_slice() {
            [] => {}
            [(number, name)] => parts.push(format!("stage {number} of {stages}: {name}")),
            several => {
                let names: Vec<&str> = several.iter().take(MAX_NAMES).map(|(_, name)| *name).collect();
                parts.push(format!("{} of {stages} stages run: {}", several.len(), names.join(", ")));
            }
        }
        parts.extend(self.gates.first().map(|gate| format!("waits for an answer to \"{}\"", gate.message)));
        parts.join(", ")
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_summary_names_what_runs_and_what_waits() {
        let stage = |name: &str, state| Stage { name: name.to_owned(), state };
        let mut progress = RunProgress::default();
        assert_eq!(progress.summary(), "");
        progress.stages = vec![
            stage("Build", StageState::Succeeded),
            stage("Deploy", StageState::Running),
            stage("Test", StageState::Pending),
        ];
        assert_eq!(progress.summary(), "stage 2 of 3: Deploy");
        progress.stages[2].state = StageState::Running;
        assert_eq!(progress.summary(), "2 of 3 stages run: Deploy, Test");
        progress.stages.truncate(1);
        progress.gates =
            vec![Gate { id: "1".to_owned(), message: "Promote to production?".to_owned(), choices: Vec::new() }];
        assert_eq!(progress.summary(), "waits for an answer to \"Promote to production?\"");
    }
}
