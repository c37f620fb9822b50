//! Converts the tasks of a run to the engine's stages, and its end to the engine's result.
//!
//! Sources: Tekton's `docs/pipelineruns.md` (status and reasons), `pkg/pod/status.go` (steps and their exit codes).

use std::collections::BTreeMap;

use wardroom::{
    Timestamp,
    adapter::{RunEnd, Stage, StageState},
    base::clean,
    model::Outcome,
};

use crate::{
    client::Client,
    error::shown,
    types::{ApprovalTask, PIPELINE_TASK_LABEL, PipelineRun, TaskRun},
};

/// The maximum number of tasks that a message names.
const MAX_TASKS: usize = 3;

/// Returns the stages of a run: its tasks in the order of the Pipeline, then those of `finally`.
pub(crate) fn stages(run: &PipelineRun, tasks: &[TaskRun], approvals: &[ApprovalTask]) -> Vec<Stage> {
    let status = &run.status;
    let mut names: Vec<&str> = Vec::new();
    let declared =
        status.pipeline_spec.tasks.iter().chain(&status.pipeline_spec.finally).map(|task| task.name.as_str());
    let seen = status.child_references.iter().map(|child| child.pipeline_task_name.as_str());
    let skipped = status.skipped_tasks.iter().map(|task| task.name.as_str());
    for name in declared.chain(seen).chain(skipped) {
        if !name.is_empty() && !names.contains(&name) {
            names.push(name);
        }
    }
    let stage = |name: &str| {
        let own: Vec<&TaskRun> = tasks.iter().filter(|task| task.task() == name).collect();
        let approval = approvals.iter().find(|approval| approval.metadata.label(PIPELINE_TASK_LABEL) == name);
        let is_child = status.child_references.iter().any(|child| child.pipeline_task_name == name);
        let state = if status.skipped_tasks.iter().any(|task| task.name == name) {
            StageState::Skipped
        } else if let Some(state) = own.iter().map(|task| task_state(task)).max_by_key(|state| weight(*state)) {
            state
        } else if let Some(approval) = approval {
            match approval.status.state.as_str() {
                "approved" => StageState::Succeeded,
                "rejected" => StageState::Failed,
                _ => StageState::Paused,
            }
        } else if is_child {
            StageState::Running
        } else {
            StageState::Pending
        };
        Stage { name: clean(name), state }
    };
    names.into_iter().map(stage).collect()
}

/// The order in which the states of several TaskRuns of one task, which a matrix has, count.
fn weight(state: StageState) -> u8 {
    match state {
        StageState::Running => 5,
        StageState::Failed => 4,
        StageState::Cancelled => 3,
        StageState::Pending => 2,
        _ => 1,
    }
}

fn task_state(task: &TaskRun) -> StageState {
    let Some(condition) = task.condition() else { return StageState::Pending };
    match (condition.status.as_str(), condition.reason.as_str()) {
        ("True", _) => StageState::Succeeded,
        ("False", "TaskRunCancelled") => StageState::Cancelled,
        ("False", _) => StageState::Failed,
        _ => StageState::Running,
    }
}

/// Returns why a run has not begun; `None` if it has.
pub(crate) fn waits(run: &PipelineRun) -> Option<String> {
    let Some(condition) = run.condition() else {
        return Some("Tekton's controller has not seen the PipelineRun yet".to_owned());
    };
    match condition.reason.as_str() {
        "PipelineRunPending" => Some("the PipelineRun is held (`spec.status: PipelineRunPending`)".to_owned()),
        "ResolvingPipelineRef" => Some(format!("Tekton reads the Pipeline: {}", shown(&condition.message))),
        _ => None,
    }
}

/// Converts a PipelineRun that has ended. `tasks` and `approvals` are its TaskRuns and ApprovalTasks, as far as they are
/// known.
pub(crate) fn run_end(
    client: &Client,
    run: &PipelineRun,
    tasks: &[TaskRun],
    approvals: &[ApprovalTask],
    link: Option<String>,
) -> RunEnd {
    let name = &run.metadata.name;
    let (status, reason, message) = match run.condition() {
        Some(condition) => (condition.status.as_str(), condition.reason.as_str(), shown(&condition.message)),
        None => ("", "", String::new()),
    };
    let mut details = BTreeMap::from([("pipelinerun".to_owned(), name.clone())]);
    let (outcome, message) = match (status, reason) {
        ("True", _) => {
            if let Some(note) = skipped(run) {
                details.insert(RunEnd::NOTE.to_owned(), note);
            }
            (Outcome::Succeeded, String::new())
        }
        (_, "Cancelled") => (Outcome::Cancelled, format!("the PipelineRun `{name}` was cancelled")),
        (_, "PipelineRunTimeout") => (Outcome::Failed, format!("the run timed out: {message}")),
        (_, "Failed") => (Outcome::Failed, failures(tasks, approvals).unwrap_or(message)),
        (_, reason) => (Outcome::Failed, format!("Tekton could not run the Pipeline ({}): {message}", clean(reason))),
    };
    if !reason.is_empty() {
        details.insert("reason".to_owned(), shown(reason));
    }
    if let Some(link) = link {
        details.insert("url".to_owned(), link);
    }
    let now = Timestamp::now();
    let host_time = |time: Option<Timestamp>| time.map(|time| client.host_time(time));
    let started = host_time(run.status.start_time.or(run.metadata.creation_timestamp)).unwrap_or(now);
    let ended = host_time(run.status.completion_time).unwrap_or(now);
    RunEnd { outcome, message, started, ended: ended.max(started), details }
}

/// Returns the sentence about tasks that were left out.
fn skipped(run: &PipelineRun) -> Option<String> {
    let skipped = &run.status.skipped_tasks;
    let named: Vec<String> = skipped
        .iter()
        .take(MAX_TASKS)
        .map(|task| format!("`{}` ({})", clean(&task.name), shown(&task.reason)))
        .collect();
    let more = skipped.len().saturating_sub(MAX_TASKS);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    (!named.is_empty()).then(|| format!("Tekton left out {}{more}.", named.join(", ")))
}

/// Returns which tasks failed, and why.
fn failures(tasks: &[TaskRun], approvals: &[ApprovalTask]) -> Option<String> {
    let failed: Vec<&TaskRun> = tasks
        .iter()
        .filter(|task| {
            let reason = task.condition().map_or("", |condition| condition.reason.as_str());
            task_state(task) == StageState::Failed && reason != "FailureIgnored"
        })
        .collect();
    let rejected = approvals.iter().filter(|approval| approval.status.state == "rejected");
    let rejected = rejected
        .map(|approval| format!("the approval `{}` was rejected", clean(approval.metadata.label(PIPELINE_TASK_LABEL))));
    let all: Vec<String> = failed.iter().map(|task| failure(task)).chain(rejected).collect();
    let told = &all[..all.len().min(MAX_TASKS)];
    let more = all.len().saturating_sub(MAX_TASKS);
    let more = if more > 0 { format!("; {more} more tasks failed") } else { String::new() };
    (!told.is_empty()).then(|| format!("{}{more}", told.join("; ")))
}

fn failure(task: &TaskRun) -> String {
    let name = clean(task.task());
    let (reason, message) = task.condition().map_or(("", ""), |condition| (&condition.reason, &condition.message));
    // The steps after the one that failed have an exit code too, but did not run.
    let failed = task.status.steps.iter().find_map(|step| {
        let terminated = step.terminated.as_ref().filter(|terminated| terminated.exit_code != 0)?;
        let has_run = !matches!(step.termination_reason.as_str(), "Skipped" | "Continued");
        has_run.then_some((step, terminated))
    });
    match (reason, failed) {
        ("TaskRunTimeout", _) => format!("the task `{name}` timed out: {}", shown(message)),
        (_, Some((step, terminated))) => {
            let why = match terminated.reason.as_str() {
                "" | "Error" => String::new(),
                why => format!(" ({})", clean(why)),
            };
            let step = clean(&step.name);
            format!("the task `{name}` failed in the step `{step}` with exit code {}{why}", terminated.exit_code)
        }
        (reason, None) => format!("the task `{name}` failed ({}): {}", clean(reason), shown(message)),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn task(name: &str, status: &str, reason: &str, steps: Value) -> TaskRun {
        serde_json::from_value(json!({
            "metadata": { "name": format!("run-{name}"), "labels": { "tekton.dev/pipelineTask": name } },
            "status": {
                "conditions": [{ "type": "Succeeded", "status": status, "reason": reason, "message": "why" }],
                "steps": steps,
            },
        }))
        .unwrap()
    }

    #[test]
    fn the_stages_have_the_order_of_the_pipeline() {
        let run: PipelineRun = serde_json::from_value(json!({ "status": {
            "pipelineSpec": { "tasks": [{ "name": "build" }, { "name": "test" }, { "name": "wait" }, { "name": "lint" }],
                "finally": [{ "name": "notify" }] },
            "childReferences": [{ "kind": "TaskRun", "pipelineTaskName": "build" },
                { "kind": "CustomRun", "pipelineTaskName": "wait" }],
            "skippedTasks": [{ "name": "lint", "reason": "When Expressions evaluated to false" }],
        } }))
        .unwrap();
        let tasks = [
            task("build", "True", "Succeeded", json!([])),
            task("test", "True", "Succeeded", json!([])),
            task("test", "Unknown", "Running", json!(null)),
        ];
        let approval: ApprovalTask = serde_json::from_value(json!({
            "metadata": { "labels": { "tekton.dev/pipelineTask": "wait" } }, "status": { "state": "pending" },
        }))
        .unwrap();
        let found: Vec<(String, StageState)> =
            stages(&run, &tasks, &[approval]).into_iter().map(|stage| (stage.name, stage.state)).collect();
        let expected = [
            ("build", StageState::Succeeded),
            ("test", StageState::Running),
            ("wait", StageState::Paused),
            ("lint", StageState::Skipped),
            ("notify", StageState::Pending),
        ];
        assert_eq!(found, expected.map(|(name, state)| (name.to_owned(), state)));
    }

    #[test]
    fn a_failed_task_is_told_with_its_step() {
        let steps = json!([
            { "name": "fetch", "terminated": { "exitCode": 1, "reason": "Error" }, "terminationReason": "Continued" },
            { "name": "compile", "terminated": { "exitCode": 137, "reason": "OOMKilled" } },
            { "name": "push", "terminated": { "exitCode": 1, "reason": "Error" }, "terminationReason": "Skipped" },
        ]);
        for (task, expected) in [
            (
                task("build", "False", "Failed", steps),
                "the task `build` failed in the step `compile` with exit code 137 (OOMKilled)",
            ),
            (
                task("build", "False", "TaskRunImagePullFailed", json!([])),
                "the task `build` failed (TaskRunImagePullFailed): why",
            ),
            (task("build", "False", "TaskRunTimeout", json!([])), "the task `build` timed out: why"),
        ] {
            assert_eq!(failures(&[task], &[]).unwrap(), expected);
        }
        let ignored = task("lint", "False", "FailureIgnored", json!([]));
        let cancelled = task("test", "False", "TaskRunCancelled", json!([]));
        assert_eq!(failures(&[ignored, cancelled], &[]), None);
    }
}
