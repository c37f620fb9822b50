//! Tests of a run from its start to its end.

use std::time::Duration;

use serde_json::json;
use wardroom::{
    Timestamp,
    adapter::{RunEnd, RunEvent, RunState},
    model::Outcome,
};

use crate::harness::{
    APP, NAME, PIPELINE, TestHost, eventually, follow, key, line_with, outage, refusal, start, state, wait, within,
};

#[tokio::test]
async fn each_status_has_its_outcome() {
    for (status, outcome, message) in [
        ("SUCCEEDED", Outcome::Succeeded, ""),
        ("TERMINAL", Outcome::Failed, "the execution ended with TERMINAL"),
        ("STOPPED", Outcome::Failed, "the execution ended with STOPPED"),
        ("FAILED_CONTINUE", Outcome::Failed, "the execution ended with FAILED_CONTINUE"),
        ("CANCELED", Outcome::Cancelled, "the execution was cancelled in Spinnaker"),
        ("SKIPPED", Outcome::Cancelled, "Spinnaker skipped the execution"),
    ] {
        let host = TestHost::new().await;
        host.server.ends_with(APP, NAME, status);
        let pipelines = host.pipelines();
        let link = start(&pipelines, "a-1").await.unwrap().unwrap();
        let (end, _) = wait(&pipelines, "a-1").await;
        assert_eq!((end.outcome, &*end.message, end.details.get(RunEnd::NOTE)), (outcome, message, None));
        assert_eq!((&*end.details["status"], &*end.details["execution"]), (status, &*host.only()));
        assert_eq!(end.details["url"], link);
        // The end is stored: a later request needs no answer of Spinnaker.
        host.server.faults(|faults| faults.down = 502);
        assert_eq!(state(&host.pipelines(), "a-1").await.unwrap(), RunState::Ended(end));
    }
}

#[tokio::test]
async fn an_execution_that_waits_says_so_once() {
    let host = TestHost::new().await;
    host.server.hold(APP, NAME);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "waiting").await;
    assert_eq!(
        line,
        "waiting in Spinnaker: the execution is NOT_STARTED, because others of its pipeline run or Orca is busy"
    );
    host.server.set_status(&host.only(), "RUNNING");
    host.server.set_status(&host.only(), "SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    while let Ok(line) = lines.try_recv() {
        assert!(!line.contains("waiting"), "{line}");
    }
}

#[tokio::test]
async fn an_unknown_status_is_open() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.set_status(&host.only(), "BEING_THOUGHT_ABOUT");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    host.server.set_status(&host.only(), "SUCCEEDED");
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn an_execution_that_is_not_visible_yet_is_not_lost() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.invisible_reads = 3);
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "Progress").await;
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn an_execution_that_is_deleted_while_it_runs_ends_the_run_as_unknown() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "Progress").await;
    let id = host.only();
    host.server.delete_execution(&id);
    let end = within(end).await.unwrap().unwrap();
    assert_eq!(end.outcome, Outcome::Unknown);
    assert_eq!(end.message, format!("the execution `{id}` was deleted in Spinnaker while the host waited for it"));
}

#[tokio::test]
async fn a_proxy_that_does_not_reach_gate_ends_no_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "Progress").await;
    host.server.faults(|faults| faults.down = 404);
    let line = line_with(&mut lines, "proxy").await;
    assert_eq!(line, "a proxy in front of Gate does not reach it (404: Down); check `url`; retrying");
    // Longer than an execution may be missing.
    tokio::time::sleep(Duration::from_millis(400)).await;
    host.server.faults(|faults| faults.down = 0);
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    assert!(host.server.count("GET", "/executions?") > 2, "lists are requested again");
}

#[tokio::test]
async fn a_lost_permission_is_said_and_the_run_is_not_given_up() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.deny(APP, "READ");
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        format!(
            "Spinnaker forbids the request for the execution `{}` (403: Access is denied); give a role of the host's account \
             the permission READ on the application `cms`",
            host.only()
        )
    );
}

#[tokio::test]
async fn who_cancelled_an_execution_and_why_is_said() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let fields = json!({ "canceledBy": "alice@example.org", "cancellationReason": "wrong\nversion" });
    host.server.change_execution(&host.only(), fields);
    host.server.end_all("CANCELED");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.message, "the execution was cancelled in Spinnaker by alice@example.org: wrong version");
}

#[tokio::test]
async fn a_restarted_host_continues_to_wait() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    let (first, mut lines) = follow(&host.pipelines(), "a-1");
    line_with(&mut lines, "Progress").await;
    first.abort();
    host.server.end_all("TERMINAL");
    let (end, _) = wait(&host.pipelines(), "a-1").await;
    assert_eq!(end.outcome, Outcome::Failed);
}

#[tokio::test]
async fn a_restart_of_spinnaker_ends_no_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "Progress").await;
    host.server.faults(|faults| faults.down = 503);
    host.server.cut_connections();
    line_with(&mut lines, "is unavailable (503: Down)").await;
    host.server.faults(|faults| faults.down = 0);
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn nothing_is_requested_when_nobody_waits() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let waiters: Vec<_> = (0..3).map(|_| follow(&pipelines, "a-1")).collect();
    eventually("the execution is polled", || host.server.count("GET", "/executions?") > 1).await;
    host.server.end_all("SUCCEEDED");
    for (end, _) in waiters {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
    tokio::time::sleep(Duration::from_millis(100)).await;
    host.server.clear_requests();
    tokio::time::sleep(Duration::from_millis(200)).await;
    assert_eq!(host.server.requests(), []);
}

#[tokio::test]
async fn times_are_those_of_the_hosts_clock() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.clock_skew = 7_200);
    let pipelines = host.pipelines();
    let before = Timestamp::now();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end_all("SUCCEEDED");
    let (end, _) = wait(&pipelines, "a-1").await;
    for time in [end.started, end.ended] {
        let distance = time.duration_since(before).as_secs().abs();
        assert!(distance < 60, "{distance} s");
    }
}

#[tokio::test]
async fn a_run_that_was_never_started_cannot_be_followed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let mut ignore = |_: RunEvent<'_>| {};
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut ignore).await), "there is no pipeline run `a-1`");
    assert_eq!(refusal(pipelines.output(&key("a-1"), PIPELINE, 100).await), "there is no pipeline run `a-1`");
    assert_eq!(refusal(pipelines.cancel(&key("a-1"), PIPELINE).await), "there is no pipeline run `a-1`");
}
