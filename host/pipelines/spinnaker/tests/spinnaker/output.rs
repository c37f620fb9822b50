//! Tests of the output.

use std::sync::Arc;

use serde_json::json;
use wardroom::adapter::Pipelines;

use crate::harness::{PIPELINE, TestHost, follow, key, line_with, outage, start, wait, within};

async fn output(pipelines: &Arc<dyn Pipelines>, bytes: usize) -> String {
    pipelines.output(&key("a-1"), PIPELINE, bytes).await.unwrap()
}

#[tokio::test]
async fn changes_of_stages_are_lines() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let id = host.only();
    let (end, mut lines) = follow(&pipelines, "a-1");
    let first = line_with(&mut lines, "execution 01J").await;
    assert_eq!(first, format!("execution {id}: https://deck.example.org/#/applications/cms/executions/details/{id}"));
    host.server.change_stage(&id, "Bake", json!({ "status": "RUNNING", "startTime": 1_000 }));
    line_with(&mut lines, "Bake: running").await;
    host.server.set_status(&id, "PAUSED");
    line_with(&mut lines, "the execution was paused in Spinnaker").await;
    host.server.set_status(&id, "RUNNING");
    line_with(&mut lines, "the execution goes on in Spinnaker").await;
    let build = json!({ "buildInfo": { "url": "https://ci.example.org/job/bake/7/" } });
    host.server.change_stage(&id, "Bake", json!({ "status": "SUCCEEDED", "endTime": 64_000, "context": build }));
    line_with(&mut lines, "Bake: succeeded after 1 min 3 s").await;
    host.server.end_all("SUCCEEDED");
    within(end).await.unwrap().unwrap();
    assert_eq!(line_with(&mut lines, "Bake").await, "Bake: https://ci.example.org/job/bake/7/");
}

#[tokio::test]
async fn the_tail_has_the_last_lines() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(output(&pipelines, 100).await, "");
    let id = host.only();
    host.server.change_stage(&id, "Bake", json!({ "status": "SUCCEEDED", "startTime": 1_000, "endTime": 2_000 }));
    let failed = json!({ "failureMessage": "no capacity" });
    let fields = json!({ "status": "TERMINAL", "startTime": 2_000, "endTime": 4_000, "context": failed });
    host.server.change_stage(&id, "Deploy", fields);
    host.server.end_all("TERMINAL");
    wait(&pipelines, "a-1").await;
    let all = "Bake: succeeded after 1 s\nDeploy: failed after 2 s: no capacity\n";
    assert_eq!(output(&pipelines, 1000).await, all);
    assert_eq!(output(&pipelines, 50).await, "Deploy: failed after 2 s: no capacity\n");
    host.server.faults(|faults| faults.empty_answers = 3);
    assert_eq!(
        outage(pipelines.output(&key("a-1"), PIPELINE, 50).await),
        "Gate returned an empty answer, because Orca behind it is unavailable"
    );
}
