//! What Gate returns, as far as the backend reads it.
//!
//! Invariant: a field that is missing, null or of another type than documented never makes an answer unusable, except for
//! the id and the status of an execution. Only Gate's lists have a form that is required.
//! Sources: Orca's `PipelineExecution.java`, `StageExecution.java`, `ExecutionStatus.java`, `TriggerDeserializer.kt` and
//! `ManualJudgmentStage.groovy`; Deck's `IPipeline.ts` (`parameterConfig`).

use serde::Deserialize;
use serde_json::Value;

/// A pipeline as it is configured.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct PipelineConfig {
    pub(crate) id: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) application: Option<String>,
    pub(crate) disabled: Value,
    /// `templatedPipeline` for a pipeline that takes its stages and parameters from a template.
    #[serde(rename = "type")]
    pub(crate) kind: Value,
    pub(crate) parameter_config: Option<Vec<ParameterConfig>>,
}

/// A parameter of a pipeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct ParameterConfig {
    pub(crate) name: String,
    pub(crate) description: Option<String>,
    pub(crate) required: Value,
    #[serde(rename = "default")]
    pub(crate) default_value: Value,
    pub(crate) has_options: Value,
    pub(crate) options: Value,
}

/// An application in the list of all.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Application {
    pub(crate) name: Option<String>,
}

/// The answer to a trigger.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Triggered {
    /// `/pipelines/ID`.
    #[serde(rename = "ref")]
    pub(crate) reference: Option<String>,
}

/// An execution of a pipeline.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Execution {
    pub(crate) id: String,
    pub(crate) status: String,
    pub(crate) build_time: Option<i64>,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    pub(crate) canceled_by: Option<String>,
    pub(crate) cancellation_reason: Option<String>,
    pub(crate) pipeline_config_id: Option<String>,
    pub(crate) trigger: Value,
    pub(crate) stages: Option<Vec<StageInfo>>,
}

/// A stage of an execution.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct StageInfo {
    pub(crate) id: String,
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    pub(crate) name: Option<String>,
    pub(crate) status: Option<String>,
    pub(crate) start_time: Option<i64>,
    pub(crate) end_time: Option<i64>,
    /// The stage that has added this one. Stages of the pipeline itself have none.
    pub(crate) parent_stage_id: Option<String>,
    pub(crate) context: Option<Context>,
}

/// What a stage stores. A list of executions without details has none of it.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub(crate) struct Context {
    pub(crate) exception: Value,
    #[serde(rename = "kato.tasks")]
    pub(crate) kato_tasks: Value,
    pub(crate) failure_message: Value,
    pub(crate) build_info: Value,
    pub(crate) instructions: Value,
    pub(crate) judgment_inputs: Value,
    pub(crate) judgment_status: Value,
}

/// How far an execution or a stage is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Status {
    NotStarted,
    Running,
    /// Paused by a person, or held back by Orca.
    Held,
    Succeeded,
    /// The stage failed, and the pipeline goes on.
    FailedContinue,
    Failed,
    /// The stage failed, and only its branch ends.
    Stopped,
    Cancelled,
    Skipped,
    /// A status that this version does not know. It counts as open.
    Unknown,
}

impl Status {
    pub(crate) fn of(text: &str) -> Self {
        match text {
            "NOT_STARTED" => Self::NotStarted,
            "RUNNING" | "REDIRECT" => Self::Running,
            "PAUSED" | "SUSPENDED" | "BUFFERED" => Self::Held,
            "SUCCEEDED" => Self::Succeeded,
            "FAILED_CONTINUE" => Self::FailedContinue,
            "TERMINAL" => Self::Failed,
            "STOPPED" => Self::Stopped,
            "CANCELED" => Self::Cancelled,
            "SKIPPED" => Self::Skipped,
            _ => Self::Unknown,
        }
    }

    pub(crate) fn is_complete(self) -> bool {
        !matches!(self, Self::NotStarted | Self::Running | Self::Held | Self::Unknown)
    }

    pub(crate) fn is_failure(self) -> bool {
        matches!(self, Self::Failed | Self::Stopped | Self::FailedContinue)
    }
}

impl Execution {
    pub(crate) fn status(&self) -> Status {
        Status::of(&self.status)
    }

    pub(crate) fn correlation_id(&self) -> Option<&str> {
        self.trigger.get("correlationId")?.as_str()
    }

    pub(crate) fn stages(&self) -> &[StageInfo] {
        self.stages.as_deref().unwrap_or_default()
    }

    /// Returns the stages of the pipeline itself: first those that have begun, in the order of their begin, and then the
    /// others.
    pub(crate) fn top_stages(&self) -> Vec<&StageInfo> {
        let mut top: Vec<&StageInfo> = self.stages().iter().filter(|stage| stage.is_top()).collect();
        top.sort_by_key(|stage| stage.start_time.unwrap_or(i64::MAX));
        top
    }

    /// Returns a stage and the stages that it has added, also indirectly.
    pub(crate) fn with_added<'e>(&'e self, stage: &'e StageInfo) -> Vec<&'e StageInfo> {
        let mut found = vec![stage];
        let mut next = 0;
        while let Some(parent) = found.get(next).map(|stage| stage.id.as_str()) {
            let added = self.stages().iter().filter(|stage| stage.parent_stage_id.as_deref() == Some(parent));
            let new: Vec<&StageInfo> = added.filter(|stage| found.iter().all(|known| known.id != stage.id)).collect();
            found.extend(new);
            next += 1;
        }
        found
    }
}

impl StageInfo {
    pub(crate) fn status(&self) -> Status {
        Status::of(self.status.as_deref().unwrap_or_default())
    }

    pub(crate) fn is_top(&self) -> bool {
        self.parent_stage_id.is_none()
    }

    /// Returns the name, or the type of a stage without a name.
    pub(crate) fn title(&self) -> &str {
        let name = self.name.as_deref().filter(|name| !name.trim().is_empty());
        name.or(self.kind.as_deref()).unwrap_or("a stage without a name")
    }

    /// Returns whether the stage waits for a person.
    pub(crate) fn waits_for_judgement(&self) -> bool {
        self.kind.as_deref() == Some("manualJudgment") && self.status() == Status::Running
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unusual_fields_do_not_make_an_execution_unusable() {
        let text = r#"{"id":"01J","status":"RUNNING","trigger":[],"stages":[
            {"id":"b","name":null,"type":"wait","status":"NOT_STARTED","context":null},
            {"id":"a","name":"A","status":"BEING_THOUGHT_ABOUT","startTime":5,"context":{"exception":"x","kato.tasks":7}},
            {"id":"c","name":"inner","status":"RUNNING","startTime":1,"parentStageId":"a"},
            {"id":"d","name":"innermost","parentStageId":"c"}],"new":{"x":1}}"#;
        let execution: Execution = serde_json::from_str(text).unwrap();
        let top: Vec<&str> = execution.top_stages().into_iter().map(StageInfo::title).collect();
        assert_eq!(top, ["A", "wait"]);
        assert_eq!(execution.correlation_id(), None);
        let added: Vec<&str> = execution.with_added(&execution.stages()[1]).iter().map(|stage| stage.title()).collect();
        assert_eq!(added, ["A", "inner", "innermost"]);
        assert!(!execution.stages()[1].status().is_complete(), "an unknown status is open");
    }
}
