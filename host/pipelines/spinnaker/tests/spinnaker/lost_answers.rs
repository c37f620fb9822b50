//! Tests of triggers whose answer is lost.

use serde_json::json;
use wardroom::{adapter::RunState, model::Outcome};
use wardroom_fake_gate::Faults;

use crate::harness::{
    APP, NAME, PIPELINE, TestHost, follow, key, line_with, outage, refusal, settled, start, state, version, wait,
    within,
};

/// The ways to lose the answer of a trigger that was carried out.
const LOSSES: [fn(&mut Faults); 5] = [
    |faults| faults.lost_answers = 1,
    |faults| faults.silent_answers = 1,
    |faults| faults.failing_triggers = 1,
    |faults| faults.orca_timeouts = 1,
    |faults| faults.nameless_triggers = 1,
];

#[tokio::test]
async fn an_execution_whose_answer_was_lost_is_found_by_its_key() {
    for (at, lose) in LOSSES.into_iter().enumerate() {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        host.server.start_by(APP, NAME, json!({ "type": "manual", "parameters": { "TAG": "1.0" } }));
        host.server.faults(lose);
        outage(start(&pipelines, "a-1").await);
        assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running, "loss {at}");
        let id = host.server.executions()[1].clone();
        assert!(start(&pipelines, "a-1").await.unwrap().unwrap().ends_with(&id), "loss {at}");
        assert_eq!((host.server.executions().len(), host.server.count("POST", "/")), (2, 1), "loss {at}");
        host.server.set_status(&id, "SUCCEEDED");
        assert_eq!(wait(&pipelines, "a-1").await.0.details["execution"], id);
    }
}

#[tokio::test]
async fn an_execution_that_has_ended_meanwhile_is_found_after_a_restart() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&host.pipelines(), "a-1").await);
    host.server.end_all("TERMINAL");
    host.server.cut_connections();
    match settled(&host.pipelines(), "a-1").await {
        RunState::Running => {
            assert_eq!(wait(&host.pipelines(), "a-1").await.0.outcome, Outcome::Failed);
        }
        RunState::Ended(end) => assert_eq!(end.outcome, Outcome::Failed),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.server.count("POST", "/"), 1);
}

#[tokio::test]
async fn a_trigger_that_never_arrived_is_absent_only_after_some_time() {
    for lose in [|faults: &mut Faults| faults.lost_triggers = 1, |faults: &mut Faults| faults.orca_outages = 1] {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        host.server.faults(lose);
        outage(start(&pipelines, "a-1").await);
        assert_eq!(
            outage(state(&pipelines, "a-1").await),
            "Spinnaker did not answer the request to start the pipeline `cms/Deploy to 50% / staging`, and it shows no run \
             of it yet; checking again"
        );
        assert_eq!(settled(&pipelines, "a-1").await, RunState::Absent);
        assert_eq!(
            refusal(start(&pipelines, "a-1").await),
            "Spinnaker did not receive the request to start the pipeline `cms/Deploy to 50% / staging`"
        );
        assert_eq!((host.server.executions().len(), host.server.count("POST", "/")), (0, 1));
    }
}

#[tokio::test]
async fn a_trigger_that_a_proxy_delivers_twice_starts_one_execution() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.doubled_triggers = 1);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(host.server.executions().len(), 1);
}

#[tokio::test]
async fn of_two_executions_with_the_key_the_first_counts() {
    let host = TestHost::new().await;
    // Orca recognizes a repetition only while the first execution runs.
    host.server.ends_with(APP, NAME, "SUCCEEDED");
    host.server.faults(|faults| (faults.doubled_triggers, faults.lost_answers) = (1, 1));
    let pipelines = host.pipelines();
    outage(start(&pipelines, "a-1").await);
    let all = host.server.executions();
    assert_eq!(all.len(), 2);
    assert!(matches!(settled(&pipelines, "a-1").await, RunState::Ended(end) if end.details["execution"] == all[0]));
}

#[tokio::test]
async fn a_pipeline_that_was_renamed_is_searched_under_its_new_name() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.lost_answers = 1);
    let pipelines = host.pipelines();
    outage(start(&pipelines, "a-1").await);
    host.server.rename(APP, NAME, "Roll out & more");
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
}

#[tokio::test]
async fn a_pipeline_that_was_deleted_makes_a_lost_answer_unknowable() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.lost_answers = 1);
    let pipelines = host.pipelines();
    outage(start(&pipelines, "a-1").await);
    host.server.delete(APP, NAME);
    match settled(&pipelines, "a-1").await {
        RunState::Unknowable(reason) => assert_eq!(
            reason,
            "the pipeline `cms/Deploy to 50% / staging` was deleted in Spinnaker, so that its executions cannot be \
             searched; look at the executions of the application"
        ),
        other => panic!("{other:?}"),
    }
}

#[tokio::test]
async fn a_search_that_is_forbidden_decides_nothing() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.lost_answers = 1);
    let pipelines = host.pipelines();
    outage(start(&pipelines, "a-1").await);
    host.server.deny(APP, "READ");
    // Gate shows no pipelines then.
    assert!(matches!(settled(&pipelines, "a-1").await, RunState::Unknowable(_)));
    assert_eq!(host.server.count("POST", "/"), 1);
}

#[tokio::test]
async fn a_clock_that_is_wrong_does_not_hide_an_execution() {
    for skew in [-7_200, 7_200] {
        let host = TestHost::new().await;
        host.server.faults(|faults| faults.clock_skew = skew);
        let pipelines = host.pipelines();
        host.server.faults(|faults| faults.lost_answers = 1);
        outage(start(&pipelines, "a-1").await);
        assert_eq!(settled(&pipelines, "a-1").await, RunState::Running, "{skew} s");
    }
}

#[tokio::test]
async fn a_waiting_caller_follows_an_execution_that_is_found_late() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.silent_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.faults(|faults| faults.down = 503);
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "Gate or a proxy in front of it is unavailable (503: Down)").await;
    host.server.faults(|faults| faults.down = 0);
    line_with(&mut lines, "execution 01J").await;
    host.server.end_all("SUCCEEDED");
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
    assert_eq!(host.server.executions().len(), 1);
    std::fs::remove_dir_all(host.path("state")).unwrap();
    assert_eq!(state(&host.pipelines(), "b-1").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_connection_that_is_refused_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let TestHost { folder: _folder, server } = host;
    drop(server);
    let reason = outage(pipelines.start(&key("a-1"), PIPELINE, &version("1.0")).await);
    assert!(reason.starts_with("Spinnaker at http://127.0.0.1:") && reason.contains("cannot be reached: "), "{reason}");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
}
