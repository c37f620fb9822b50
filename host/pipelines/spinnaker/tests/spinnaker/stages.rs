//! Tests of stages, failures and manual judgements, as the room sees them.

use serde_json::json;
use wardroom::{adapter::RunEnd, model::Outcome};

use crate::harness::{APP, NAME, TestHost, follow, line_with, start, wait, within};

#[tokio::test]
async fn the_stages_of_a_pipeline_are_followed() {
    let host = TestHost::new().await;
    host.server.stage(APP, NAME, "createServerGroup", json!({ "parentStageId": "x", "status": "RUNNING" }));
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let id = host.only();
    host.server.change_stage(&id, "Bake", json!({ "status": "RUNNING", "startTime": 1 }));
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "Progress").await;
    let stages = r#"[Stage { name: "Bake", state: Running }, Stage { name: "Deploy", state: Pending }]"#;
    assert!(line.contains(stages), "stages that others have added are left out: {line}");
    host.server.change_stage(&id, "Bake", json!({ "status": "SUCCEEDED", "endTime": 60_001 }));
    host.server.change_stage(&id, "Deploy", json!({ "status": "RUNNING", "startTime": 60_001 }));
    let line = line_with(&mut lines, r#""Deploy", state: Running"#).await;
    assert!(line.contains(r#"Stage { name: "Bake", state: Succeeded }"#), "{line}");
    host.server.end_all("SUCCEEDED");
    within(end).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_failure_names_its_stage_and_its_reason() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let id = host.only();
    let context =
        json!({ "exception": { "details": { "error": "Unexpected Task Failure", "errors": ["no capacity"] } } });
    host.server.change_stage(&id, "Deploy", json!({ "status": "TERMINAL", "context": context }));
    host.server.end_all("TERMINAL");
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, &*end.message), (Outcome::Failed, "in stage Deploy: no capacity"));
    assert!(lines.iter().any(|line| line == "Deploy: failed: no capacity"), "{lines:#?}");
}

#[tokio::test]
async fn an_execution_that_could_not_begin_says_why() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let fields = json!({ "canceledBy": "system", "cancellationReason": "Failed on startup: artifact not found" });
    host.server.change_execution(&host.only(), fields);
    host.server.end_all("TERMINAL");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, &*end.message), (Outcome::Failed, "Failed on startup: artifact not found"));
}

#[tokio::test]
async fn a_failure_that_the_pipeline_ignores_is_in_the_closing_message() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let context = json!({ "kato.tasks": [{ "exception": { "message": "quota exceeded" } }] });
    host.server.change_stage(&host.only(), "Bake", json!({ "status": "FAILED_CONTINUE", "context": context }));
    host.server.end_all("SUCCEEDED");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(end.details[RunEnd::NOTE], "Spinnaker ignored a failure in stage Bake: quota exceeded.");
}

#[tokio::test]
async fn a_manual_judgement_is_a_gate_and_its_question_is_requested_once() {
    let host = TestHost::new().await;
    let fields = json!({
        "type": "manualJudgment", "status": "RUNNING",
        "context": { "instructions": "<b>Look</b> at the dashboard", "judgmentInputs": [{ "value": "blue" }] },
    });
    host.server.stage(APP, NAME, "Go live?", fields);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    let (first, mut lines) = follow(&pipelines, "a-1");
    let (second, mut others) = follow(&pipelines, "a-2");
    for lines in [&mut lines, &mut others] {
        let line = line_with(lines, "Gate {").await;
        let gate = r#"message: "Go live?: Look at the dashboard", choices: ["blue"] }"#;
        assert!(line.contains(gate) && line.contains(r#"Stage { name: "Go live?", state: Paused }"#), "{line}");
    }
    host.server.clear_requests();
    crate::harness::eventually("the list is requested", || host.server.count("GET", "/executions?") > 3).await;
    assert_eq!(host.server.count("GET", "/pipelines/"), 0);
    host.server.end_all("SUCCEEDED");
    for end in [first, second] {
        within(end).await.unwrap().unwrap();
    }
}
