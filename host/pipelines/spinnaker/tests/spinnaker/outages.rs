//! Tests of outages, rate limits and answers that are not Gate's.

use std::time::{Duration, Instant};

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{TestHost, eventually, follow, line_with, outage, start, state, wait, within};

#[tokio::test]
async fn a_failed_read_is_repeated() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.failing_reads = 2);
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.failing_reads = 3);
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        "Spinnaker failed on the list of executions (500: Status: 500, URL: http://orca:8083, Message: x)"
    );
    // Gate answers a request for an execution with nothing while Orca is down.
    host.server.end_all("SUCCEEDED");
    host.server.faults(|faults| faults.empty_answers = 3);
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        "Gate returned an empty answer, because Orca behind it is unavailable"
    );
    host.server.faults(|faults| faults.empty_answers = 2);
    assert!(matches!(state(&pipelines, "a-1").await.unwrap(), RunState::Ended(_)));
}

#[tokio::test]
async fn an_outage_is_told_once_and_ends_no_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "execution 01J").await;
    host.server.faults(|faults| faults.down = 503);
    let line = line_with(&mut lines, "unavailable").await;
    assert_eq!(line, "Gate or a proxy in front of it is unavailable (503: Down); retrying");
    host.server.clear_requests();
    eventually("Gate is probed", || host.server.requests().len() > 1).await;
    host.server.faults(|faults| faults.down = 0);
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    while let Ok(line) = lines.try_recv() {
        assert!(!line.contains("unavailable"), "{line}");
    }
}

#[tokio::test]
async fn a_requested_delay_is_kept() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| (faults.down, faults.retry_after) = (429, 1));
    host.server.clear_requests();
    let began = Instant::now();
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        "Gate or a proxy in front of it limits the rate of requests (429)"
    );
    host.server.faults(|faults| faults.down = 0);
    while state(&pipelines, "a-1").await.is_err() {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(began.elapsed() >= Duration::from_millis(900), "{:?}", began.elapsed());
    assert_eq!(host.server.requests().len(), 2);
}

#[tokio::test]
async fn a_rate_limit_without_a_delay_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.down = 429);
    outage(start(&pipelines, "a-1").await);
    host.server.faults(|faults| faults.down = 0);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    start(&pipelines, "a-2").await.unwrap();
}

#[tokio::test]
async fn a_slow_server_is_named_with_the_timeout() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.slow = Duration::from_secs(5));
    let reason = outage(start(&pipelines, "a-1").await);
    assert!(reason.starts_with("Spinnaker at http://127.0.0.1:"), "{reason}");
    assert!(reason.ends_with(" did not answer within 1 s"), "{reason}");
}

#[tokio::test]
async fn a_login_page_is_said_as_what_it_is() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.html = true);
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        "an HTML page with the title \"Sign in to continue\" was returned instead of the API of Spinnaker; a login page or \
         a proxy answers at `url`; set `url` to an address where the API answers"
    );
    host.server.faults(|faults| (faults.html, faults.login) = (false, true));
    let reason = outage(state(&pipelines, "a-1").await);
    assert_eq!(
        reason,
        "the request was redirected to https://idp.example.org to a login page instead of being answered; check the user \
         and the secret, and let a proxy in front of Gate pass requests of the API"
    );
    assert_eq!(host.server.execution(&host.only())["status"], "RUNNING", "the run is not given up");
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.padding = 33 << 20);
    assert_eq!(
        outage(state(&pipelines, "a-1").await),
        "the answer of Spinnaker for a list of executions is too large to be read"
    );
    host.server.faults(|faults| faults.padding = 20 << 20);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn an_execution_whose_details_are_too_large_ends_without_them() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.large_details = 33 << 20);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let id = host.only();
    let context = serde_json::json!({ "failureMessage": "no capacity" });
    host.server.change_stage(&id, "Deploy", serde_json::json!({ "status": "TERMINAL", "context": context }));
    host.server.end_all("TERMINAL");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.message, "in stage Deploy: the stage ended with TERMINAL");
    let output = pipelines.output(&crate::harness::key("a-1"), crate::harness::PIPELINE, 100).await;
    assert_eq!(outage(output), format!("the details of the execution `{id}` are too large to be read"));
}

#[tokio::test]
async fn an_old_gate_without_lists_is_asked_for_each_execution() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.old_gate = true);
    let pipelines = host.pipelines();
    for name in ["a-1", "a-2", "a-3"] {
        start(&pipelines, name).await.unwrap();
    }
    let runs: Vec<_> = ["a-1", "a-2", "a-3"].iter().map(|name| follow(&pipelines, name)).collect();
    for mut run in runs {
        line_with(&mut run.1, "Progress").await;
        drop(run.0);
    }
    host.server.end_all("SUCCEEDED");
    for name in ["a-1", "a-2", "a-3"] {
        assert_eq!(wait(&pipelines, name).await.0.outcome, Outcome::Succeeded);
    }
    assert!(host.server.count("GET", "/executions?") <= 2, "the list is not tried again");
}
