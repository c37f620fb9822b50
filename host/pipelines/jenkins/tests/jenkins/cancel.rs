//! Tests of the cancellation of a run.

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{
    JOB, PIPELINE, Settings, TestHost, eventually, follow, key, line_with, outage, refusal, start, state, version,
    wait, within,
};

#[tokio::test]
async fn a_run_in_the_queue_is_cancelled_before_it_starts() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(host.server.waiting_items(), [0_u64; 0]);
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(host.server.builds(JOB), []);
}

#[tokio::test]
async fn an_item_that_left_the_queue_meanwhile_is_stopped() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    host.server.release_queue();
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(host.server.builds(JOB)[0].signals, ["stop"]);
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_build_that_does_not_end_is_stopped_with_more_force() {
    for (signal, expected) in
        [("stop", &["stop"][..]), ("term", &["stop", "term"]), ("kill", &["stop", "term", "kill"])]
    {
        let host = TestHost::new().await;
        host.server.ends_after(JOB, signal);
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        let (end, mut lines) = follow(&pipelines, "a-1");
        line_with(&mut lines, "build #1: ").await;
        pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
        let end = within(end).await.unwrap().unwrap();
        assert_eq!((end.outcome, &*end.message), (Outcome::Cancelled, "build #1 was aborted in Jenkins"));
        assert_eq!(host.server.builds(JOB)[0].signals, expected);
    }
}

#[tokio::test]
async fn a_freestyle_build_has_no_stronger_signal() {
    let host = TestHost::new().await;
    host.server.freestyle("plain");
    host.server.parameter("plain", "TAG");
    host.server.ends_after("plain", "never");
    let pipelines = host.with(Settings::job("plain"));
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    eventually("`term` is tried", || host.server.count("POST", "/term") == 1).await;
    host.server.end("plain", 1, "ABORTED");
    within(end).await.unwrap().unwrap();
    assert_eq!((host.server.builds("plain")[0].signals.len(), host.server.count("POST", "/kill")), (1, 0));
}

#[tokio::test]
async fn a_run_that_has_ended_is_not_stopped() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end(JOB, 1, "SUCCESS");
    wait(&pipelines, "a-1").await;
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(host.server.builds(JOB)[0].signals, [""; 0]);
}

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_found_and_stopped() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_cancelled_run_is_stopped_when_it_is_found_late() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.faults(|faults| faults.down = 502);
    outage(pipelines.cancel(&key("a-1"), PIPELINE).await);
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "unavailable").await;
    host.server.faults(|faults| faults.down = 0);
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn a_cancellation_during_an_outage_is_repeated() {
    for is_queued in [true, false] {
        let host = TestHost::new().await;
        if is_queued {
            host.server.hold_queue("Waiting for next available executor");
        }
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
        host.server.faults(|faults| faults.down = 502);
        outage(pipelines.cancel(&key("a-1"), PIPELINE).await);
        host.server.faults(|faults| faults.down = 0);
        assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
        assert_eq!(host.server.builds(JOB).len(), usize::from(!is_queued));
    }
}

#[tokio::test]
async fn a_missing_permission_to_cancel_is_named() {
    let host = TestHost::new().await;
    host.server.deny("bot", "hudson.model.Item.Cancel");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    let message = refusal(pipelines.cancel(&key("a-1"), PIPELINE).await);
    assert!(message.contains("lacks the permission Cancel"), "{message}");
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_its_trigger_is_on_its_way_is_stopped() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.slow = std::time::Duration::from_millis(150));
    let pipelines = host.pipelines();
    let (starting, run) = (pipelines.clone(), key("a-1"));
    let started = tokio::spawn(async move { starting.start(&run, PIPELINE, &version("1.0")).await });
    eventually("the trigger is sent", || host.server.count("POST", "/buildWithParameters") == 1).await;
    let cancelling = pipelines.clone();
    let cancelled = tokio::spawn(async move { cancelling.cancel(&key("a-1"), PIPELINE).await });
    within(started).await.unwrap().unwrap();
    within(cancelled).await.unwrap().unwrap();
    host.server.faults(|faults| faults.slow = std::time::Duration::ZERO);
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
    assert_eq!(host.server.count("POST", "/buildWithParameters"), 1);
}

#[tokio::test]
async fn a_cancellation_goes_on_after_a_restart() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    // The host that was asked to cancel crashes before Jenkins answers.
    host.server.faults(|faults| faults.down = 502);
    outage(host.pipelines().cancel(&key("a-1"), PIPELINE).await);
    host.server.faults(|faults| faults.down = 0);
    let restarted = host.pipelines();
    assert_eq!(state(&restarted, "a-1").await.unwrap(), RunState::Running);
    assert_eq!(wait(&restarted, "a-1").await.0.outcome, Outcome::Cancelled);
}
