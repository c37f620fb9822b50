//! Tests of the cancellation of a run.

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{
    APP, NAME, PIPELINE, TestHost, eventually, follow, key, line_with, outage, refusal, start, state, wait, within,
};

#[tokio::test]
async fn an_execution_is_cancelled_with_a_reason() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(host.server.cancellations(&host.only()), [false]);
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(end.message, "the execution was cancelled in Spinnaker by bot: cancelled in Wardroom (run a-1)");
}

#[tokio::test]
async fn an_execution_that_does_not_end_is_cancelled_with_force() {
    let host = TestHost::new().await;
    host.server.needs_force(APP, NAME);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "execution 01J").await;
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Cancelled);
    assert_eq!(host.server.cancellations(&host.only()), [false, true]);
}

#[tokio::test]
async fn an_execution_that_has_ended_is_not_cancelled() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end_all("SUCCEEDED");
    // The host has not seen the end yet.
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(host.server.cancellations(&host.only()), [false; 0]);
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn an_execution_that_is_not_visible_yet_is_cancelled_later() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.invisible_reads = 1);
    outage(pipelines.cancel(&key("a-1"), PIPELINE).await);
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_found_and_cancelled() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_cancellation_during_an_outage_is_repeated() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    host.server.faults(|faults| faults.down = 502);
    outage(pipelines.cancel(&key("a-1"), PIPELINE).await);
    host.server.faults(|faults| faults.down = 0);
    eventually("the cancellation is repeated", || host.server.cancellations(&host.only()) == [false]).await;
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_missing_permission_to_cancel_is_named() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.deny(APP, "EXECUTE");
    let message = refusal(pipelines.cancel(&key("a-1"), PIPELINE).await);
    let expected = format!("Spinnaker forbids the request for the execution `{}` (403: Access is denied)", host.only());
    assert!(message.starts_with(&expected) && message.contains("EXECUTE"), "{message}");
}
