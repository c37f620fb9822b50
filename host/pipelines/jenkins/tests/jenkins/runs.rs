//! Tests of a run from the queue to its end.

use std::time::Duration;

use wardroom::{
    Timestamp,
    adapter::{RunEnd, RunEvent, RunState},
    model::Outcome,
};

use crate::harness::{
    JOB, PIPELINE, TestHost, eventually, follow, key, line_with, refusal, settled, start, state, wait, within,
};

#[tokio::test]
async fn each_result_has_its_outcome() {
    for (result, outcome, message, note) in [
        ("SUCCESS", Outcome::Succeeded, "", None),
        ("UNSTABLE", Outcome::Succeeded, "", Some("Jenkins marked build #1 as unstable.")),
        ("FAILURE", Outcome::Failed, "build #1 failed", None),
        ("ABORTED", Outcome::Cancelled, "build #1 was aborted in Jenkins", None),
        ("NOT_BUILT", Outcome::Failed, "Jenkins did not build #1 (NOT_BUILT)", None),
    ] {
        let host = TestHost::new().await;
        host.server.ends_with(JOB, result);
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        let (end, _) = wait(&pipelines, "a-1").await;
        assert_eq!(
            (end.outcome, &*end.message, end.details.get(RunEnd::NOTE).map(String::as_str)),
            (outcome, message, note)
        );
        assert_eq!((&*end.details["result"], &*end.details["build"]), (result, "1"));
        assert_eq!(end.details["url"], format!("{}/job/web/job/cms%20deploy/1/", host.server.url()));
        // The end is stored: a later request needs no answer of Jenkins.
        host.server.faults(|faults| faults.down = 502);
        assert_eq!(state(&host.pipelines(), "a-1").await.unwrap(), RunState::Ended(end));
    }
}

#[tokio::test]
async fn the_reason_for_waiting_is_shown_once() {
    let host = TestHost::new().await;
    host.server.hold_queue("In the quiet period. Expires in 4.9 sec");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "waiting in Jenkins").await;
    assert_eq!(line, "waiting in Jenkins: In the quiet period. Expires in 4.9 sec");
    host.server.hold_queue("In the quiet period. Expires in 1.2 sec");
    host.server.clear_requests();
    eventually("the queue is polled", || host.server.count("GET", "/queue/") > 2).await;
    host.server.hold_queue("Waiting for next available executor on ‘linux’");
    let line = lines.recv().await.unwrap();
    assert_eq!(line, "waiting in Jenkins: Waiting for next available executor on ‘linux’");
    host.server.release_queue();
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_queue_item_that_a_person_cancels_ends_the_run() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "waiting in Jenkins").await;
    host.server.cancel_items();
    let end = within(end).await.unwrap().unwrap();
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(end.message, "the queue item was cancelled in Jenkins before a build was started");
}

#[tokio::test]
async fn a_build_is_found_after_its_queue_item_expired() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.build_by("eve", JOB, &[]);
    host.server.expire_items();
    host.server.end(JOB, 1, "SUCCESS");
    host.server.end(JOB, 2, "FAILURE");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, &*end.details["build"]), (Outcome::Succeeded, "1"));
}

#[tokio::test]
async fn an_item_that_expired_without_a_build_was_cancelled() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.cancel_items();
    host.server.expire_items();
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(end.message, "queue item 1 left the queue of Jenkins, and no build was started");
}

#[tokio::test]
async fn a_build_that_is_not_completed_has_not_ended() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end_without_completing(JOB, 1, "SUCCESS");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    host.server.complete(JOB, 1);
    assert!(matches!(state(&pipelines, "a-1").await.unwrap(), RunState::Ended(_)));
}

#[tokio::test]
async fn a_job_that_is_deleted_while_it_runs_ends_the_run_as_unknown() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    host.server.delete(JOB);
    let end = within(end).await.unwrap().unwrap();
    assert_eq!(end.outcome, Outcome::Unknown);
    assert_eq!(end.message, "build #1 or its job was deleted in Jenkins while the host waited for it");
}

#[tokio::test]
async fn a_build_that_is_missing_for_a_moment_is_not_lost() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    // A server that starts does not know its jobs yet.
    host.server.faults(|faults| faults.down = 404);
    host.server.clear_requests();
    eventually("the build is polled", || host.server.count("GET", "/1/api/json") > 2).await;
    host.server.faults(|faults| faults.down = 0);
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_build_number_that_belongs_to_another_build_is_not_taken_for_the_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    host.server.recreate(JOB);
    host.server.ends_with(JOB, "SUCCESS");
    host.server.build_by("eve", JOB, &[]);
    let end = within(end).await.unwrap().unwrap();
    assert_eq!(end.outcome, Outcome::Unknown);
    assert!(end.message.starts_with("build #1 in Jenkins is now another build"), "{}", end.message);
}

#[tokio::test]
async fn a_restarted_host_continues_to_wait() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    let (first, mut lines) = follow(&host.pipelines(), "a-1");
    line_with(&mut lines, "build #1: ").await;
    first.abort();
    host.server.end(JOB, 1, "FAILURE");
    let (end, _) = wait(&host.pipelines(), "a-1").await;
    assert_eq!(end.outcome, Outcome::Failed);
}

#[tokio::test]
async fn all_who_wait_for_a_run_get_its_end() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let waiters: Vec<_> = (0..5).map(|_| follow(&pipelines, "a-1")).collect();
    let mut waiters = waiters.into_iter();
    let (dropped, mut lines) = waiters.next().unwrap();
    line_with(&mut lines, "build #1: ").await;
    dropped.abort();
    host.server.end(JOB, 1, "SUCCESS");
    for (end, _) in waiters {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
    // Nobody waits any more, so nothing is requested any more.
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
    host.server.end(JOB, 1, "SUCCESS");
    let (end, _) = wait(&pipelines, "a-1").await;
    for time in [end.started, end.ended] {
        let distance = time.duration_since(before).as_secs().abs();
        assert!(distance < 60, "{distance} s");
    }
    assert!(end.started <= end.ended);
}

#[tokio::test]
async fn urls_of_answers_are_not_called_and_their_host_does_not_matter() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.root_url = "http://127.0.0.1:1/elsewhere".to_owned());
    let pipelines = host.pipelines();
    host.server.hold_queue("x");
    host.server.faults(|faults| faults.lost_answers = 1);
    let _ = start(&pipelines, "a-1").await;
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
    host.server.release_queue();
    host.server.end_all("SUCCESS");
    for name in ["a-1", "a-2"] {
        let (end, _) = wait(&pipelines, name).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        assert!(end.details["url"].starts_with(&host.server.url()), "{:?}", end.details);
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

#[tokio::test]
async fn the_data_of_a_run_is_removed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let files = || std::fs::read_dir(host.path("state/jenkins/ci")).unwrap().count();
    let before = files();
    pipelines.forget(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(files(), before - 1);
    assert_eq!(host.server.count("POST", "/stop"), 0, "the build goes on");
}
