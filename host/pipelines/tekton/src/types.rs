//! The parts of Kubernetes objects that the adapter reads.
//!
//! Invariant: a field that is missing or `null` has its default value, because versions of Tekton differ.
//! Sources: Tekton's `pkg/apis/pipeline/v1/{pipeline,pipelinerun,taskrun,param}_types.go`, the Manual Approval Gate's
//! `pkg/apis/approvaltask/v1alpha1/approvaltask_types.go`.

use std::collections::BTreeMap;

use serde::{Deserialize, Deserializer};
use serde_json::Value;
use wardroom::Timestamp;

/// The label that Tekton gives the TaskRuns and pods of a PipelineRun.
pub(crate) const PIPELINE_RUN_LABEL: &str = "tekton.dev/pipelineRun";
/// The label that Tekton gives a PipelineRun: the name of its Pipeline.
pub(crate) const PIPELINE_LABEL: &str = "tekton.dev/pipeline";
/// The label with the name of a task in its Pipeline.
pub(crate) const PIPELINE_TASK_LABEL: &str = "tekton.dev/pipelineTask";

fn or_default<'de, D: Deserializer<'de>, T: Default + Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    Ok(Option::deserialize(deserializer)?.unwrap_or_default())
}

/// A list of objects.
#[derive(Debug, Deserialize)]
#[serde(bound(deserialize = "T: Deserialize<'de>"))]
pub(crate) struct List<T> {
    #[serde(default = "Vec::new", deserialize_with = "or_default")]
    pub(crate) items: Vec<T>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Metadata {
    pub(crate) name: String,
    pub(crate) uid: String,
    pub(crate) resource_version: String,
    pub(crate) creation_timestamp: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) labels: BTreeMap<String, String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) annotations: BTreeMap<String, String>,
}

impl Metadata {
    pub(crate) fn label(&self, name: &str) -> &str {
        self.labels.get(name).map_or("", String::as_str)
    }
}

/// A Pipeline.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Pipeline {
    pub(crate) metadata: Metadata,
    pub(crate) spec: PipelineSpec,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PipelineSpec {
    #[serde(deserialize_with = "or_default")]
    pub(crate) params: Vec<ParamSpec>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) workspaces: Vec<WorkspaceSpec>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) tasks: Vec<Named>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) finally: Vec<Named>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Named {
    pub(crate) name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ParamSpec {
    pub(crate) name: String,
    /// `string`, `array` or `object`; missing in an object that no webhook completed.
    #[serde(rename = "type")]
    pub(crate) kind: Option<String>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) description: String,
    pub(crate) default: Option<Value>,
    #[serde(rename = "enum", deserialize_with = "or_default")]
    pub(crate) allowed: Vec<String>,
    pub(crate) properties: Option<BTreeMap<String, Value>>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct WorkspaceSpec {
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) optional: bool,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Condition {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    /// `True`, `False` or `Unknown`.
    pub(crate) status: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) message: String,
}

/// Returns the condition that says how far an object is.
pub(crate) fn succeeded(conditions: &[Condition]) -> Option<&Condition> {
    conditions.iter().find(|condition| condition.kind == "Succeeded")
}

/// A PipelineRun.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct PipelineRun {
    pub(crate) metadata: Metadata,
    pub(crate) spec: Value,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: PipelineRunStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct PipelineRunStatus {
    #[serde(deserialize_with = "or_default")]
    pub(crate) conditions: Vec<Condition>,
    pub(crate) start_time: Option<Timestamp>,
    pub(crate) completion_time: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) child_references: Vec<Child>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) skipped_tasks: Vec<SkippedTask>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) pipeline_spec: PipelineSpec,
}

impl PipelineRun {
    pub(crate) fn condition(&self) -> Option<&Condition> {
        succeeded(&self.status.conditions)
    }

    /// Returns whether the run has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.condition().is_some_and(|condition| matches!(condition.status.as_str(), "True" | "False"))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Child {
    /// `TaskRun`, `CustomRun` or `PipelineRun`.
    pub(crate) kind: String,
    pub(crate) pipeline_task_name: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct SkippedTask {
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
}

/// A TaskRun.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct TaskRun {
    pub(crate) metadata: Metadata,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: TaskRunStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct TaskRunStatus {
    #[serde(deserialize_with = "or_default")]
    pub(crate) conditions: Vec<Condition>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) pod_name: String,
    pub(crate) start_time: Option<Timestamp>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) steps: Vec<Step>,
}

impl TaskRun {
    /// Returns the name of the task in its Pipeline.
    pub(crate) fn task(&self) -> &str {
        match self.metadata.label(PIPELINE_TASK_LABEL) {
            "" => &self.metadata.name,
            task => task,
        }
    }

    pub(crate) fn condition(&self) -> Option<&Condition> {
        succeeded(&self.status.conditions)
    }

    /// Returns whether the task has ended.
    pub(crate) fn is_done(&self) -> bool {
        self.condition().is_some_and(|condition| matches!(condition.status.as_str(), "True" | "False"))
    }
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Step {
    pub(crate) name: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) container: String,
    pub(crate) running: Option<Value>,
    pub(crate) terminated: Option<Terminated>,
    /// `Completed`, `Continued`, `Error`, `TimeoutExceeded`, `Skipped` or `Cancelled`.
    #[serde(deserialize_with = "or_default")]
    pub(crate) termination_reason: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct Terminated {
    pub(crate) exit_code: i64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) reason: String,
}

/// An ApprovalTask of the Manual Approval Gate.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApprovalTask {
    pub(crate) metadata: Metadata,
    pub(crate) spec: ApprovalTaskSpec,
    #[serde(deserialize_with = "or_default")]
    pub(crate) status: ApprovalTaskStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct ApprovalTaskSpec {
    /// Kept as they are, because an answer sends them back.
    #[serde(deserialize_with = "or_default")]
    pub(crate) approvers: Vec<Value>,
    #[serde(deserialize_with = "or_default")]
    pub(crate) number_of_approvals_required: u64,
    #[serde(deserialize_with = "or_default")]
    pub(crate) description: String,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct ApprovalTaskStatus {
    /// `pending`, `approved` or `rejected`; empty before the controller has seen the object.
    #[serde(deserialize_with = "or_default")]
    pub(crate) state: String,
}

/// Who the host is for the cluster.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UserReview {
    pub(crate) status: UserReviewStatus,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub(crate) struct UserReviewStatus {
    pub(crate) user_info: UserInfo,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default)]
pub(crate) struct UserInfo {
    pub(crate) username: String,
    #[serde(deserialize_with = "or_default")]
    pub(crate) groups: Vec<String>,
}
