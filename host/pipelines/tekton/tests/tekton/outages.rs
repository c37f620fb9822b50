//! Tests of clusters that are down, overloaded or not what they should be.

use std::time::Duration;

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{RUN, TestHost, eventually, follow, line_with, outage, start, state, wait, within};

#[tokio::test]
async fn an_outage_is_told_and_the_run_goes_on_afterwards() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "PipelineRun").await;
    host.server.faults(|faults| faults.down = 503);
    let line = line_with(&mut lines, "unavailable").await;
    assert_eq!(line, "the Kubernetes API or a proxy in front of it is unavailable (503: Down); retrying");
    host.server.faults(|faults| faults.down = 0);
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn after_several_failures_nothing_is_sent_for_a_while() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.down = 502);
    for _ in 0..2 {
        outage(state(&pipelines, "a-1").await);
    }
    let reason = outage(state(&pipelines, "a-1").await);
    assert!(reason.contains("(unavailable since "), "{reason}");
    host.server.clear_requests();
    for _ in 0..20 {
        outage(state(&pipelines, "a-1").await);
    }
    let sent = host.server.requests().len();
    assert!(sent <= 3, "{sent} requests while the breaker is open");
    host.server.faults(|faults| faults.down = 0);
    assert_eq!(crate::harness::settled(&pipelines, "a-1").await, RunState::Running);
}

#[tokio::test]
async fn a_limit_of_the_rate_is_kept() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.limited = 1);
    let reason = outage(state(&pipelines, "a-1").await);
    assert_eq!(reason, "the Kubernetes API limits the rate of requests (429)");
    host.server.clear_requests();
    let reason = outage(state(&pipelines, "a-1").await);
    assert!(reason.starts_with("the Kubernetes API limits the rate of requests (429) (unavailable since "), "{reason}");
    assert_eq!(host.server.requests().len(), 0, "`Retry-After` is one second");
    assert_eq!(crate::harness::settled(&pipelines, "a-1").await, RunState::Running);
}

#[tokio::test]
async fn a_limited_creation_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.limited = 1);
    outage(start(&pipelines, "a-2").await);
    assert_eq!(crate::harness::settled(&pipelines, "a-2").await, RunState::Absent);
    assert_eq!(host.server.runs().len(), 1);
}

#[tokio::test]
async fn a_read_that_fails_once_is_repeated() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.failing_reads = 1);
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(host.server.count("GET", "/pipelines/deploy"), 2);
    host.server.faults(|faults| faults.failing_reads = 3);
    let reason = outage(state(&pipelines, "a-1").await);
    assert_eq!(
        reason,
        "the Kubernetes API failed on PipelineRuns in the namespace `ci` (500: etcdserver: leader changed)"
    );
}

#[tokio::test]
async fn a_page_in_place_of_the_api_is_told() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.html = true);
    assert_eq!(
        outage(start(&pipelines, "a-1").await),
        "an HTML page was returned instead of an answer of the Kubernetes API; a login page or a proxy answers at the \
         address of the cluster, so correct `server` in the kubeconfig"
    );
    host.server.faults(|faults| (faults.html, faults.login) = (false, true));
    let message = outage(start(&pipelines, "a-2").await);
    assert!(
        message.starts_with("the request was redirected to https://idp.example.org to a login page")
            && !message.contains("secret-state"),
        "{message}"
    );
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_given_up() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.slow = Duration::from_secs(30));
    let reason = outage(state(&pipelines, "a-1").await);
    assert_eq!(reason, format!("the Kubernetes API at {} did not answer within 1 s", host.server.url()));
    host.server.faults(|faults| faults.slow = Duration::ZERO);
    assert_eq!(crate::harness::settled(&pipelines, "a-1").await, RunState::Running);
}

#[tokio::test]
async fn a_restart_of_the_api_server_is_survived() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "PipelineRun").await;
    for _ in 0..5 {
        host.server.restart();
        host.server.clear_requests();
        eventually("the runs are listed again", || host.server.count("GET", "/pipelineruns?") > 0).await;
    }
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
}
