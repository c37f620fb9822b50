//! The applications, pipelines and executions of the server.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{SystemTime, UNIX_EPOCH},
};

use serde_json::{Map, Value, json};

/// The statuses of an execution that has ended.
const COMPLETE: [&str; 6] = ["SUCCEEDED", "FAILED_CONTINUE", "SKIPPED", "TERMINAL", "CANCELED", "STOPPED"];

#[derive(Debug, Default)]
pub(crate) struct Pipeline {
    pub(crate) id: String,
    pub(crate) name: String,
    pub(crate) is_disabled: bool,
    pub(crate) is_templated: bool,
    pub(crate) parameters: Vec<Value>,
    /// The stages of each new execution.
    pub(crate) stages: Vec<Value>,
    /// The status with which each new execution ends at once.
    pub(crate) ends_with: Option<String>,
    /// Whether new executions do not begin.
    pub(crate) is_held: bool,
    /// Whether executions end only after a cancellation with force.
    pub(crate) needs_force: bool,
}

#[derive(Debug, Default)]
pub(crate) struct Data {
    /// The pipelines of each application.
    pub(crate) applications: BTreeMap<String, Vec<Pipeline>>,
    /// By their ids, oldest first.
    pub(crate) executions: BTreeMap<String, Value>,
    /// The requests to cancel each execution: whether they were forced.
    pub(crate) cancellations: BTreeMap<String, Vec<bool>>,
    pub(crate) tokens: BTreeSet<String>,
    pub(crate) passwords: BTreeMap<String, String>,
    /// The serial numbers of the certificates that Gate does not accept.
    pub(crate) roles: BTreeSet<String>,
    /// The permissions on applications that the account lacks.
    pub(crate) lacks: BTreeSet<(String, String)>,
    pub(crate) clock_skew: i64,
    next: u64,
}

impl Data {
    pub(crate) fn now(&self) -> i64 {
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        i64::try_from(now.as_millis()).unwrap_or_default() + self.clock_skew * 1000
    }

    pub(crate) fn lacks(&self, application: &str, permission: &str) -> bool {
        self.lacks.contains(&(application.to_owned(), permission.to_owned()))
    }

    pub(crate) fn pipeline(&mut self, application: &str, name_or_id: &str) -> Option<&mut Pipeline> {
        let pipelines = self.applications.get_mut(application)?;
        pipelines.iter_mut().find(|pipeline| pipeline.name == name_or_id || pipeline.id == name_or_id)
    }

    /// Returns the execution with this correlation id that has not ended.
    pub(crate) fn correlated(&self, correlation_id: &str) -> Option<String> {
        let fits =
            |execution: &&Value| execution["trigger"]["correlationId"] == correlation_id && !is_complete(execution);
        self.executions.values().find(fits).and_then(|execution| execution["id"].as_str()).map(str::to_owned)
    }

    /// Starts an execution. Returns its id. `failure` is the reason for which it cannot begin.
    pub(crate) fn start(&mut self, application: &str, pipeline: &str, trigger: Value, failure: Option<&str>) -> String {
        self.next += 1;
        let (number, now) = (self.next, self.now());
        let Some(pipeline) = self.pipeline(application, pipeline) else { return String::new() };
        // Like a ULID: the time comes first.
        let id = format!("01J{now:013}{number:010}");
        let status = match (&pipeline.ends_with, failure) {
            (_, Some(_)) => "TERMINAL",
            (Some(status), None) => status,
            (None, None) if pipeline.is_held => "NOT_STARTED",
            (None, None) => "RUNNING",
        };
        let stages: Vec<Value> = pipeline
            .stages
            .iter()
            .enumerate()
            .map(|(at, stage)| with(json!({ "id": format!("{id}-{at}"), "refId": at.to_string() }), stage))
            .collect();
        let mut execution = json!({
            "type": "PIPELINE", "id": id, "application": application, "name": pipeline.name,
            "pipelineConfigId": pipeline.id, "status": status, "buildTime": now, "startTime": now, "endTime": null,
            "canceled": false, "trigger": trigger, "stages": stages, "paused": null,
            "authentication": { "user": "bot" }, "limitConcurrent": true,
        });
        if status == "NOT_STARTED" {
            execution["startTime"] = Value::Null;
        }
        if let Some(failure) = failure {
            execution["canceled"] = true.into();
            execution["canceledBy"] = "system".into();
            execution["cancellationReason"] = format!("Failed on startup: {failure}").into();
        }
        if is_complete(&execution) {
            execution["endTime"] = now.into();
        }
        self.executions.insert(id.clone(), execution);
        id
    }

    /// Sets the status of an execution.
    pub(crate) fn set_status(&mut self, id: &str, status: &str) {
        let now = self.now();
        let Some(execution) = self.executions.get_mut(id) else { return };
        execution["status"] = status.into();
        if execution["startTime"].is_null() {
            execution["startTime"] = now.into();
        }
        if is_complete(execution) {
            execution["endTime"] = now.into();
        }
    }

    /// Returns a stage of an execution by its name or id.
    pub(crate) fn stage(&mut self, id: &str, name_or_id: &str) -> Option<&mut Value> {
        let stages = self.executions.get_mut(id)?.get_mut("stages")?.as_array_mut()?;
        stages.iter_mut().find(|stage| stage["name"] == name_or_id || stage["id"] == name_or_id)
    }

    /// Looks at the answer to a judgement, as Orca does from time to time.
    pub(crate) fn judge(&mut self, id: &str, stage: &str) {
        let roles = self.roles.clone();
        let Some(stage) = self.stage(id, stage) else { return };
        let needed = stage["context"]["selectedStageRoles"].as_array().cloned().unwrap_or_default();
        let may = needed.is_empty() || needed.iter().filter_map(Value::as_str).any(|role| roles.contains(role));
        let status = stage["context"]["judgmentStatus"].as_str().unwrap_or_default().to_lowercase();
        if !may {
            stage["context"]["judgmentStatus"] = "".into();
        } else if status == "continue" {
            stage["status"] = "SUCCEEDED".into();
        } else if status == "stop" {
            stage["status"] = "TERMINAL".into();
            self.set_status(id, "TERMINAL");
        }
    }
}

pub(crate) fn is_complete(execution: &Value) -> bool {
    execution["status"].as_str().is_some_and(|status| COMPLETE.contains(&status))
}

/// Returns an object with the fields of another one added.
pub(crate) fn with(mut object: Value, more: &Value) -> Value {
    let more = more.as_object().cloned().unwrap_or_else(Map::new);
    if let Some(fields) = object.as_object_mut() {
        fields.extend(more);
    }
    object
}

/// Returns an execution without its details, as with `expand=false`.
pub(crate) fn unexpanded(execution: &Value) -> Value {
    let mut execution = execution.clone();
    for stage in execution["stages"].as_array_mut().into_iter().flatten() {
        stage["context"] = json!({});
        stage["outputs"] = json!({});
        stage["tasks"] = json!([]);
    }
    execution
}
