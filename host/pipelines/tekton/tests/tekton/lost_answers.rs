//! Tests of creations whose answer was lost.

use std::time::Duration;

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{
    PIPELINE, RUN, Settings, TestHost, eventually, key, outage, refusal, settled, start, state, version, wait,
};

#[tokio::test]
async fn a_run_whose_answer_was_lost_is_found_by_its_name() {
    for change in [
        (|faults| faults.lost_answers = 1) as fn(&mut wardroom_fake_kubernetes::Faults),
        |faults| faults.silent_answers = 1,
        |faults| faults.timed_out_creates = 1,
    ] {
        let host = TestHost::new().await;
        let pipelines = host.pipelines();
        host.server.faults(change);
        outage(start(&pipelines, "a-1").await);
        assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
        start(&pipelines, "a-1").await.unwrap();
        assert_eq!((host.server.runs().len(), host.server.count("POST", "/pipelineruns")), (1, 1));
        host.server.end(RUN, "True", "Succeeded", "");
        assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
    }
}

#[tokio::test]
async fn a_creation_that_never_arrived_is_absent_only_after_some_time() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_creates = 1);
    outage(start(&pipelines, "a-1").await);
    let early = outage(state(&pipelines, "a-1").await);
    assert!(early.contains("it shows no run of it yet; checking again"), "{early}");
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Absent);
    assert_eq!(
        refusal(start(&pipelines, "a-1").await),
        "Tekton did not receive the request to start the Pipeline `deploy` in the namespace `ci`"
    );
    assert_eq!((host.server.runs().len(), host.server.count("POST", "/pipelineruns")), (0, 1));
}

#[tokio::test]
async fn a_creation_that_arrives_late_is_found() {
    let host = TestHost::new().await;
    let mut settings = Settings::default();
    settings.timing.settle = Duration::from_secs(3);
    let pipelines = host.with(settings);
    host.server.faults(|faults| (faults.late_creates, faults.late_by) = (1, Duration::from_millis(300)));
    outage(start(&pipelines, "a-1").await);
    outage(state(&pipelines, "a-1").await);
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
    assert_eq!(host.server.runs().len(), 1);
}

#[tokio::test]
async fn a_host_that_crashed_between_the_request_and_its_file_adopts_its_run() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    // The same key arrives a second time, for example from a backup of the state folder.
    std::fs::remove_dir_all(host.path("state/tekton/cluster")).unwrap();
    start(&host.pipelines(), "a-1").await.unwrap();
    assert_eq!((host.server.runs().len(), host.server.count("POST", "/pipelineruns")), (1, 2));
}

#[tokio::test]
async fn a_missing_run_is_not_absent_when_a_pruner_can_have_deleted_it() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.delete(RUN);
    // The host was down for an hour.
    let file = host.path("state/tekton/cluster/a-1.json");
    let mut record: serde_json::Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    for time in ["requested", "unanswered_since"] {
        record[time] = (wardroom::Timestamp::now() - Duration::from_secs(3600)).to_string().into();
    }
    std::fs::write(&file, record.to_string()).unwrap();
    let RunState::Unknowable(reason) = state(&host.pipelines(), "a-1").await.unwrap() else {
        panic!("the run is not known to be absent");
    };
    assert!(reason.contains("can have ended and been deleted since"), "{reason}");
}

#[tokio::test]
async fn a_run_that_was_deleted_during_its_search_is_absent() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.delete(RUN);
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Absent);
}

#[tokio::test]
async fn an_outage_during_the_search_decides_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.faults(|faults| faults.lost_answers = 1);
    outage(start(&pipelines, "a-1").await);
    host.server.faults(|faults| faults.down = 503);
    for _ in 0..3 {
        outage(state(&pipelines, "a-1").await);
    }
    host.server.faults(|faults| faults.down = 0);
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
}

#[tokio::test]
async fn a_connection_that_is_refused_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let closed = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let config = std::fs::read_to_string(host.path("kube.config")).unwrap();
    let url = host.server.url();
    std::fs::write(host.path("kube.config"), config.replace(&url, &format!("http://{closed}"))).unwrap();
    let message = outage(start(&pipelines, "a-1").await);
    assert!(message.starts_with(&format!("the Kubernetes API at http://{closed} cannot be reached: ")), "{message}");
    assert!(message.contains("Connection refused"), "{message}");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    // The address is read again after a failure.
    std::fs::write(host.path("kube.config"), config).unwrap();
    start(&pipelines, "a-2").await.unwrap();
}

#[tokio::test]
async fn a_dropped_start_is_carried_out_once() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.slow = Duration::from_millis(100));
    let pipelines = host.pipelines();
    let run = key("a-1");
    let values = version("1.0");
    let dropped = tokio::time::timeout(Duration::from_millis(20), pipelines.start(&run, PIPELINE, &values)).await;
    assert!(dropped.is_err(), "the caller gave up");
    eventually("the run is created", || host.server.runs().len() == 1).await;
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Running);
    assert_eq!(host.server.count("POST", "/pipelineruns"), 1);
}
