//! Tests of runs that are followed to their end.

use jiff::SignedDuration;
use serde_json::json;
use wardroom::{
    Timestamp,
    adapter::{RunEnd, RunEvent, RunState},
    model::Outcome,
};

use crate::harness::{
    PIPELINE, RUN, TestHost, eventually, follow, key, line_with, refusal, start, state, wait, within,
};

#[tokio::test]
async fn the_tasks_of_a_run_are_its_stages() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    assert_eq!(line_with(&mut lines, "PipelineRun").await, "PipelineRun wardroom-a-1");
    host.server.task(RUN, "build", "Unknown", "Running", "");
    let line = line_with(&mut lines, "state: Running").await;
    assert!(
        line.contains(
            r#"[Stage { name: "build", state: Running }, Stage { name: "roll-out", state: Pending }, Stage { name: "notify", state: Pending }]"#
        ),
        "{line}"
    );
    host.server.task(RUN, "build", "True", "Succeeded", "");
    host.server.task(RUN, "roll-out", "Unknown", "Running", "");
    let line = line_with(&mut lines, r#""roll-out", state: Running"#).await;
    assert!(line.contains(r#""build", state: Succeeded"#), "{line}");
    host.server.end(RUN, "True", "Succeeded", "Tasks Completed: 2 (Failed: 0, Cancelled 0), Skipped: 0");
    let end = within(end).await.unwrap().unwrap();
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Succeeded, ""));
    assert_eq!((end.details["pipelinerun"].as_str(), end.details["reason"].as_str()), (RUN, "Succeeded"));
    assert_eq!(end.details.get(RunEnd::NOTE), None);
}

#[tokio::test]
async fn each_end_has_an_outcome_and_a_message() {
    for (status, reason, message, outcome, expected) in [
        ("True", "Succeeded", "", Outcome::Succeeded, ""),
        ("False", "Cancelled", "x", Outcome::Cancelled, "the PipelineRun `wardroom-a-1` was cancelled"),
        (
            "False",
            "PipelineRunTimeout",
            "PipelineRun \"wardroom-a-1\" failed to finish within \"1h0m0s\"",
            Outcome::Failed,
            "the run timed out: PipelineRun \"wardroom-a-1\" failed to finish within \"1h0m0s\"",
        ),
        (
            "False",
            "CouldntGetTask",
            "Pipeline ci/deploy can't be Run; it contains Tasks that don't exist: tasks.tekton.dev \"x\" not found",
            Outcome::Failed,
            "Tekton could not run the Pipeline (CouldntGetTask): Pipeline ci/deploy can't be Run; it contains Tasks that \
             don't exist: tasks.tekton.dev \"x\" not found",
        ),
        (
            "False",
            "ParameterMissing",
            "PipelineRun ci parameters is missing some parameters required by Pipeline deploy's parameters: [X]",
            Outcome::Failed,
            "Tekton could not run the Pipeline (ParameterMissing): PipelineRun ci parameters is missing some parameters \
             required by Pipeline deploy's parameters: [X]",
        ),
        (
            "False",
            "Failed",
            "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 2",
            Outcome::Failed,
            "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 2",
        ),
    ] {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        host.server.end(RUN, status, reason, message);
        let (end, _) = wait(&pipelines, "a-1").await;
        assert_eq!((end.outcome, end.message.as_str()), (outcome, expected));
        assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Ended(end));
    }
}

#[tokio::test]
async fn the_step_that_failed_is_named_with_its_exit_code() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.task(RUN, "build", "True", "Succeeded", "");
    host.server.step(RUN, "roll-out", "apply", json!({ "terminated": { "exitCode": 137, "reason": "OOMKilled" } }));
    host.server.step(
        RUN,
        "roll-out",
        "verify",
        json!({ "terminated": { "exitCode": 1, "reason": "Error" }, "terminationReason": "Skipped" }),
    );
    host.server.task(RUN, "roll-out", "False", "Failed", "\"step-apply\" exited with code 137");
    host.server.end(RUN, "False", "Failed", "Tasks Completed: 2 (Failed: 1, Cancelled 0), Skipped: 0");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.message, "the task `roll-out` failed in the step `apply` with exit code 137 (OOMKilled)");
}

#[tokio::test]
async fn without_the_permission_for_tasks_the_end_is_told_without_them() {
    let host = TestHost::new().await;
    host.server.deny("list", "taskruns", "ci");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.task(RUN, "build", "Unknown", "Running", "");
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, r#""build", state: Running"#).await;
    // The permission is not asked for in each poll.
    let lists = || host.server.count("GET", "/taskruns?labelSelector=tekton.dev%2FpipelineRun+in");
    let polls = || host.server.count("GET", "/pipelineruns?");
    let (before, polled) = (lists(), polls());
    eventually("the run is polled", || polls() > polled + 3).await;
    assert_eq!(lists(), before);
    host.server.task(RUN, "build", "False", "Failed", "");
    host.server.end(RUN, "False", "Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1");
    let end = within(end).await.unwrap().unwrap();
    assert_eq!(end.message, "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1");
}

#[tokio::test]
async fn tasks_that_were_left_out_are_a_note() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let skipped = json!([{ "name": "roll-out", "reason": "When Expressions evaluated to false" }]);
    host.server.change(RUN, |run| run["status"]["skippedTasks"] = skipped);
    host.server.end(RUN, "True", "Completed", "Tasks Completed: 1 (Failed: 0, Cancelled 0), Skipped: 1");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(end.details[RunEnd::NOTE], "Tekton left out `roll-out` (When Expressions evaluated to false).");
}

#[tokio::test]
async fn a_run_that_does_not_begin_says_why() {
    let host = TestHost::new().await;
    host.server.hold();
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "waiting").await;
    assert_eq!(line, "waiting in Tekton: Tekton's controller has not seen the PipelineRun yet");
    host.server.reason(RUN, "ResolvingPipelineRef", "PipelineRun ci/x awaiting remote resource");
    let line = line_with(&mut lines, "waiting").await;
    assert_eq!(line, "waiting in Tekton: Tekton reads the Pipeline: PipelineRun ci/x awaiting remote resource");
    host.server.reason(RUN, "PipelineRunPending", "");
    let line = line_with(&mut lines, "waiting").await;
    assert_eq!(line, "waiting in Tekton: the PipelineRun is held (`spec.status: PipelineRunPending`)");
    host.server.begin(RUN);
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_run_that_is_deleted_has_an_unknown_outcome() {
    type Change = fn(&TestHost);
    let cases: [(Change, &str); 4] = [
        (|host| host.server.delete(RUN), "was deleted while the host waited for it"),
        (
            |host| {
                host.server.delete(RUN);
                host.server.create("ci", RUN, json!({ "wardroom/run": "a-1" }));
            },
            "was deleted, and another one has its name now",
        ),
        (|host| host.server.delete_namespace("ci"), "was deleted while the host waited for it"),
        (|host| host.server.uninstall("tekton.dev"), "is gone, because Tekton was removed from the cluster"),
    ];
    for (change, expected) in cases {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        let (end, mut lines) = follow(&pipelines, "a-1");
        line_with(&mut lines, "PipelineRun").await;
        change(&host);
        let end = within(end).await.unwrap().unwrap();
        assert_eq!(end.outcome, Outcome::Unknown);
        assert_eq!(end.message, format!("the PipelineRun `{RUN}` in the namespace `ci` {expected}"));
    }
}

#[tokio::test]
async fn a_run_whose_label_was_removed_is_still_followed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.change(RUN, |run| run["metadata"]["labels"] = json!(null));
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "PipelineRun").await;
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn the_times_of_a_cluster_with_another_clock_are_corrected() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.clock_skew = 7200);
    let pipelines = host.pipelines();
    let before = Timestamp::now() - SignedDuration::from_secs(5);
    start(&pipelines, "a-1").await.unwrap();
    host.server.end(RUN, "True", "Succeeded", "");
    let (end, _) = wait(&pipelines, "a-1").await;
    let after = Timestamp::now() + SignedDuration::from_secs(5);
    assert!(before < end.started && end.started <= end.ended && end.ended < after, "{end:?}");
}

#[tokio::test]
async fn a_host_that_restarts_follows_its_runs() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    let restarted = host.pipelines();
    assert_eq!(state(&restarted, "a-1").await.unwrap(), RunState::Running);
    let (end, mut lines) = follow(&restarted, "a-1");
    line_with(&mut lines, "PipelineRun").await;
    host.server.restart();
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_run_that_was_never_started_cannot_be_followed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let mut ignore = |_: RunEvent<'_>| {};
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut ignore).await), "there is no pipeline run `a-1`");
    assert_eq!(refusal(pipelines.cancel(&key("a-1"), PIPELINE).await), "there is no pipeline run `a-1`");
}
