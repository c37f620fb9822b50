//! Tests of triggers whose answer is lost.

use wardroom::{adapter::RunState, model::Outcome};
use wardroom_fake_jenkins::Faults;

use crate::harness::{
    JOB, PIPELINE, RUN, TestHost, follow, key, line_with, outage, refusal, settled, start, state, version, wait, within,
};

/// The ways to lose the answer of a trigger that was carried out.
const LOSSES: [fn(&mut Faults); 4] = [
    |faults| faults.lost_answers = 1,
    |faults| faults.silent_answers = 1,
    |faults| faults.failing_triggers = 1,
    |faults| faults.nameless_triggers = 1,
];

#[tokio::test]
async fn a_build_whose_answer_was_lost_is_found_by_its_key() {
    for (at, lose) in LOSSES.into_iter().enumerate() {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        host.server.build_by("eve", JOB, &[("TAG", "1.0"), (RUN, "")]);
        host.server.faults(lose);
        outage(start(&pipelines, "a-1").await);
        assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running, "loss {at}");
        assert!(start(&pipelines, "a-1").await.unwrap().unwrap().ends_with("/2/"), "loss {at}");
        assert_eq!(host.server.count("POST", "/buildWithParameters"), 1, "loss {at}");
        host.server.end(JOB, 2, "SUCCESS");
        assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
    }
}

#[tokio::test]
async fn a_queue_item_whose_answer_was_lost_is_found_after_a_restart() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&host.pipelines(), "a-1").await);
    assert_eq!(settled(&host.pipelines(), "a-1").await, RunState::Running);
    host.server.release_queue();
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(wait(&host.pipelines(), "a-1").await.0.outcome, Outcome::Succeeded);
    assert_eq!(host.server.builds(JOB).len(), 1);
}

#[tokio::test]
async fn without_the_key_the_only_fitting_build_is_found() {
    for lose in LOSSES {
        let host = TestHost::without_key().await;
        let pipelines = host.pipelines();
        // Builds of another user, with another value, and of an earlier run.
        host.server.ends_with(JOB, "SUCCESS");
        start(&pipelines, "a-0").await.unwrap();
        host.server.build_by("eve", JOB, &[("TAG", "1.0")]);
        host.server.build_by("bot", JOB, &[("TAG", "2.0")]);
        host.server.faults(lose);
        outage(start(&pipelines, "a-1").await);
        match settled(&pipelines, "a-1").await {
            RunState::Ended(end) => assert_eq!(end.details["build"], "4"),
            other => panic!("{other:?}"),
        }
        assert_eq!(host.server.builds(JOB).len(), 4);
    }
}

#[tokio::test]
async fn without_the_key_several_fitting_builds_are_unknowable() {
    let host = TestHost::without_key().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    // A person uses the account of the host.
    host.server.build_by("BOT", JOB, &[("TAG", "1.0")]);
    match settled(&pipelines, "a-1").await {
        RunState::Unknowable(reason) => assert_eq!(
            reason,
            "2 builds of the job `web/cms deploy` fit, and the job does not define the parameter `WARDROOM_RUN` that would \
             tell them apart; look at the job in Jenkins"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.server.count("POST", "/buildWithParameters"), 1);
}

#[tokio::test]
async fn a_trigger_that_never_arrived_is_absent_only_after_some_time() {
    for host in [TestHost::new().await, TestHost::without_key().await] {
        let pipelines = host.pipelines();
        host.server.faults(|faults| faults.lost_triggers = 1);
        outage(start(&pipelines, "a-1").await);
        let early = outage(state(&pipelines, "a-1").await);
        assert!(early.contains("it shows no run of it yet; checking again"), "{early}");
        assert_eq!(settled(&pipelines, "a-1").await, RunState::Absent);
        assert_eq!(
            refusal(start(&pipelines, "a-1").await),
            "Jenkins did not receive the request to start the job `web/cms deploy`"
        );
        assert_eq!((host.server.builds(JOB).len(), host.server.count("POST", "/")), (0, 1));
    }
}

#[tokio::test]
async fn a_deleted_build_makes_a_lost_answer_unknowable() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.delete_build(JOB, 1);
    match settled(&pipelines, "a-1").await {
        RunState::Unknowable(reason) => {
            assert!(reason.starts_with("build #1 of the job `web/cms deploy` was deleted"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_waiting_caller_follows_a_build_that_is_found_late() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.silent_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.faults(|faults| faults.down = 503);
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "is unavailable (503: Down)").await;
    host.server.faults(|faults| faults.down = 0);
    line_with(&mut lines, "build #1: http://").await;
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_run_whose_file_was_lost_is_found_by_its_key() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    std::fs::remove_dir_all(host.path("state")).unwrap();
    let pipelines = host.pipelines();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    assert!(start(&pipelines, "a-1").await.is_ok());
    assert_eq!(host.server.builds(JOB).len(), 1);
}

#[tokio::test]
async fn a_damaged_file_is_unknowable() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    std::fs::write(host.path("state/jenkins/ci/a-1.json"), "{").unwrap();
    assert!(matches!(state(&pipelines, "a-1").await.unwrap(), RunState::Unknowable(_)));
    outage(start(&pipelines, "a-1").await);
    assert_eq!(host.server.builds(JOB).len(), 1);
    let (end, _) = follow(&pipelines, "a-1");
    assert!(refusal(within(end).await.unwrap()).contains("is damaged"));
}

#[tokio::test]
async fn a_rebuild_of_a_person_is_not_taken_for_the_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.end(JOB, 1, "FAILURE");
    // `Rebuild` copies all parameters, also the hidden one.
    host.server.build_by("eve", JOB, &[("TAG", "1.0"), (RUN, "a-1")]);
    match settled(&pipelines, "a-1").await {
        RunState::Ended(end) => assert_eq!((end.outcome, &*end.details["build"]), (Outcome::Failed, "1")),
        RunState::Running => match state(&pipelines, "a-1").await.unwrap() {
            RunState::Ended(end) => assert_eq!(end.outcome, Outcome::Failed),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_connection_that_is_refused_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let TestHost { folder: _folder, server } = host;
    drop(server);
    let reason = outage(pipelines.start(&key("a-1"), PIPELINE, &version("1.0")).await);
    assert!(reason.contains("cannot be reached: "), "{reason}");
    // No request to Jenkins is needed for the answer.
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_queue_id_that_jenkins_gives_again_is_not_taken_for_the_run() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    // After a crash, the queue is empty, and another job gets the same id.
    host.server.lose_queue();
    host.server.pipeline("other");
    host.server.parameter("other", "TAG");
    host.server.build_by("eve", "other", &[("TAG", "1.0")]);
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Cancelled);
    assert_eq!(end.message, "queue item 1 left the queue of Jenkins, and no build was started");
}
