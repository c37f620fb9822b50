//! Tests of a Jenkins that is down, slow, overloaded, or hidden behind a proxy.

use std::time::{Duration, Instant};

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{JOB, Settings, TestHost, eventually, follow, line_with, outage, start, state, wait, within};

#[tokio::test]
async fn a_read_that_fails_is_repeated() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.failing_reads = 2);
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(host.server.builds(JOB).len(), 1);
    host.server.faults(|faults| faults.failing_reads = 2);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn a_page_instead_of_the_api_is_told_as_what_it_is() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    for (name, is_html, part) in [
        ("a-1", true, "an HTML page with the title \"Sign in to continue\" was returned instead of the API of Jenkins"),
        ("a-2", false, "redirected to https://idp.example.org to a login page instead of being answered"),
    ] {
        host.server.faults(|faults| (faults.html, faults.login) = (is_html, !is_html));
        let reason = outage(start(&pipelines, name).await);
        assert!(reason.contains(part), "{reason}");
        assert!(!reason.contains("secret-state"), "{reason}");
        assert_eq!(state(&pipelines, name).await.unwrap(), RunState::Absent, "nothing was sent");
    }
    assert_eq!(host.server.count("POST", "/"), 0);
}

#[tokio::test]
async fn an_outage_while_a_run_is_followed_is_told_and_survived() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    host.server.faults(|faults| faults.html = true);
    line_with(&mut lines, "an HTML page").await;
    host.server.faults(|faults| (faults.html, faults.login) = (false, true));
    line_with(&mut lines, "to a login page").await;
    host.server.faults(|faults| (faults.login, faults.down) = (false, 503));
    line_with(&mut lines, "is unavailable (503: Down)").await;
    // The breaker opens, and probes are sent. The reason is not repeated.
    host.server.clear_requests();
    eventually("probes are sent", || host.server.requests().len() > 3).await;
    assert_eq!(lines.try_recv().ok(), None);
    host.server.faults(|faults| faults.down = 0);
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn an_open_breaker_answers_at_once_and_sends_nothing() {
    let host = TestHost::new().await;
    let mut settings = Settings::default();
    settings.timing.pause = Duration::from_millis(1_500);
    let pipelines = host.with(settings);
    start(&pipelines, "a-1").await.unwrap();
    host.server.faults(|faults| faults.down = 502);
    // Each request is sent three times.
    outage(state(&pipelines, "a-1").await);
    outage(state(&pipelines, "a-1").await);
    host.server.clear_requests();
    let began = Instant::now();
    for at in 0..50 {
        let reason = outage(start(&pipelines, &format!("b-{at}")).await);
        assert!(reason.contains("(unavailable since ") && reason.contains("the next attempt is in "), "{reason}");
        assert_eq!(state(&pipelines, &format!("b-{at}")).await.unwrap(), RunState::Absent);
    }
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(host.server.requests(), []);
    // One probe closes it.
    host.server.faults(|faults| faults.down = 0);
    let deadline = Instant::now() + Duration::from_secs(20);
    while state(&pipelines, "a-1").await.is_err() {
        assert!(Instant::now() < deadline, "the breaker stays open");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    start(&pipelines, "c-1").await.unwrap();
}

#[tokio::test]
async fn a_requested_delay_is_kept() {
    for status in [429, 503] {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        host.server.faults(|faults| (faults.down, faults.retry_after) = (status, 1));
        outage(state(&pipelines, "a-1").await);
        host.server.faults(|faults| (faults.down, faults.retry_after) = (0, 0));
        host.server.clear_requests();
        let (end, _) = follow(&pipelines, "a-1");
        let began = Instant::now();
        eventually("the host tries again", || !host.server.requests().is_empty()).await;
        assert!(began.elapsed() > Duration::from_millis(800), "{status}: {:?}", began.elapsed());
        host.server.end(JOB, 1, "SUCCESS");
        within(end).await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn a_slow_answer_is_a_timeout_and_starts_no_second_build() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.silent_answers = 1);
    let reason = outage(start(&pipelines, "a-1").await);
    assert!(reason.ends_with("did not answer within 1 s"), "{reason}");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    assert_eq!(host.server.builds(JOB).len(), 1);
}

#[tokio::test]
async fn an_answer_that_is_too_large_is_not_read() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.padding = 9 << 20);
    let reason = outage(start(&pipelines, "a-1").await);
    assert_eq!(reason, "the answer of Jenkins for job `web/cms deploy` is too large to be read");
}

#[tokio::test]
async fn a_long_queue_and_a_job_with_many_builds_are_searched() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    for _ in 0..150 {
        host.server.build_by("eve", JOB, &[("TAG", "1.0")]);
    }
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    for _ in 0..150 {
        host.server.build_by("eve", JOB, &[("TAG", "1.0")]);
    }
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    host.server.end(JOB, 151, "SUCCESS");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.details["build"], "151");
}
