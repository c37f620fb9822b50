//! The stages of a pipeline, and its input steps.
//!
//! Source: the plugin Pipeline: REST API (`wfapi`), whose `describe` and `pendingInputActions` are documented in its
//! README; workflow-input-step's `InputStepExecution.java` (`doProceedEmpty`, `doAbort`). A job that is not a pipeline has
//! none of them, and neither has a Jenkins without the plugin.

use serde::Deserialize;
use wardroom::adapter::{Gate, Stage, StageState};
use wardroom_remote::RemoteError;

use super::{Call, Client};
use crate::{job_path::JobPath, responses::Request};

/// The status of a build or a stage that waits at an input step.
const PAUSED: &str = "PAUSED_PENDING_INPUT";

/// The stages of a build and the input steps at which it waits.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct StageView {
    pub(crate) stages: Vec<Stage>,
    pub(crate) gates: Vec<Gate>,
    /// The ids of the gates that ask for values.
    pub(crate) asks_for_values: Vec<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Described {
    #[serde(default)]
    status: Option<String>,
    #[serde(default)]
    stages: Vec<DescribedStage>,
}

#[derive(Debug, Default, Deserialize)]
struct DescribedStage {
    #[serde(default)]
    name: String,
    #[serde(default)]
    status: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
struct Input {
    #[serde(default)]
    id: String,
    #[serde(default)]
    message: Option<String>,
    /// What the input step asks for.
    #[serde(default)]
    inputs: Vec<serde::de::IgnoredAny>,
}

impl Client {
    /// Returns the stages of a build and its input steps. Returns `None` for a build that is not one of a pipeline.
    pub(crate) async fn stages(&self, job: &JobPath, number: u64) -> Result<Option<StageView>, RemoteError> {
        let text = number.to_string();
        let what = || format!("stages of build #{number} of the job `{job}`");
        let segments = job.segments().chain([&*text, "wfapi", "describe"]);
        let described: Described = match self.get(Call::read(segments, what())).await {
            Ok(described) => described,
            Err(error) if error.is_missing() => return Ok(None),
            Err(error) => return Err(error),
        };
        let is_paused = described.status.as_deref() == Some(PAUSED);
        let stages = described.stages.into_iter();
        let stages = stages.map(|stage| Stage { name: stage.name, state: state(stage.status.as_deref()) }).collect();
        let mut view = StageView { stages, ..StageView::default() };
        if is_paused {
            let segments = job.segments().chain([&*text, "wfapi", "pendingInputActions"]);
            let inputs: Vec<Input> = self.get(Call::read(segments, what())).await?;
            for input in inputs {
                let (asks, gate) = (!input.inputs.is_empty(), gate(input, view.stages.len()));
                view.asks_for_values.extend(asks.then(|| gate.id.clone()));
                view.gates.push(gate);
            }
        }
        Ok(Some(view))
    }

    /// Lets a build go on at an input step, or aborts it there.
    pub(crate) async fn answer(
        &self,
        job: &JobPath,
        number: u64,
        gate: &str,
        proceeds: bool,
    ) -> Result<(), RemoteError> {
        let text = number.to_string();
        let verb = if proceeds { "proceedEmpty" } else { "abort" };
        let segments = job.segments().chain([&*text, "input", gate, verb]);
        let call = Call::post(Request::Stop, segments, format!("input step of build #{number} of the job `{job}`"));
        self.send(&call).await.map(drop)
    }
}

/// Converts an input step. The id of an input step is made of its message, so that the same question in a later stage has
/// the same id; the number of the stage is added.
fn gate(input: Input, stages: usize) -> Gate {
    let mut message = input.message.unwrap_or_default();
    if !input.inputs.is_empty() {
        message.push_str(" (it asks for values, which only the page of the build can enter)");
    }
    Gate { id: format!("{}@{stages}", input.id), message, choices: Vec::new() }
}

fn state(status: Option<&str>) -> StageState {
    match status.unwrap_or_default() {
        "SUCCESS" | "UNSTABLE" => StageState::Succeeded,
        "FAILED" => StageState::Failed,
        "ABORTED" => StageState::Cancelled,
        "IN_PROGRESS" => StageState::Running,
        PAUSED => StageState::Paused,
        "NOT_EXECUTED" => StageState::Skipped,
        _ => StageState::Pending,
    }
}
