//! Tests of cancelled runs.

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{PIPELINE, RUN, TestHost, eventually, key, outage, refusal, start, state, wait};

fn stops(host: &TestHost) -> Vec<String> {
    host.server.stops().into_iter().map(|(_, status)| status).collect()
}

#[tokio::test]
async fn a_cancelled_run_lets_its_last_tasks_run_and_is_then_stopped_with_more_force() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(
        (end.outcome, end.message.as_str()),
        (Outcome::Cancelled, "the PipelineRun `wardroom-a-1` was cancelled")
    );
    assert_eq!(stops(&host), ["CancelledRunFinally"]);

    host.server.ends_after("Cancelled");
    start(&pipelines, "a-2").await.unwrap();
    pipelines.cancel(&key("a-2"), PIPELINE).await.unwrap();
    let (end, _) = wait(&pipelines, "a-2").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(stops(&host), ["CancelledRunFinally", "CancelledRunFinally", "Cancelled"]);
}

#[tokio::test]
async fn a_run_that_has_ended_or_is_gone_is_not_changed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    // The host has not seen the end yet.
    host.server.end(RUN, "True", "Succeeded", "");
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
    start(&pipelines, "a-2").await.unwrap();
    host.server.delete("wardroom-a-2");
    pipelines.cancel(&key("a-2"), PIPELINE).await.unwrap();
    // Another PipelineRun with the name is not touched.
    start(&pipelines, "a-3").await.unwrap();
    host.server.delete("wardroom-a-3");
    host.server.create("ci", "wardroom-a-3", serde_json::json!({}));
    pipelines.cancel(&key("a-3"), PIPELINE).await.unwrap();
    assert_eq!(stops(&host), [""; 0]);
}

#[tokio::test]
async fn a_cancellation_is_repeated_after_an_outage() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.down = 502);
    outage(pipelines.cancel(&key("a-1"), PIPELINE).await);
    host.server.faults(|faults| faults.down = 0);
    eventually("the run is cancelled", || !stops(&host).is_empty()).await;
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_missing_permission_to_cancel_is_named() {
    let host = TestHost::new().await;
    host.server.deny("patch", "pipelineruns", "ci");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(
        refusal(pipelines.cancel(&key("a-1"), PIPELINE).await),
        "`system:serviceaccount:ops:wardroom` may not patch `pipelineruns` in the namespace `ci`; add to a Role there: \
         apiGroups: [\"tekton.dev\"], resources: [\"pipelineruns\"], verbs: [\"patch\"]"
    );
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn a_run_that_another_person_cancels_is_cancelled() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end(RUN, "False", "Cancelled", "PipelineRun \"wardroom-a-1\" was cancelled");
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}
