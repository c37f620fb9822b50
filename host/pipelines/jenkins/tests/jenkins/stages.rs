//! Tests of the stages and the input steps of a pipeline.

use wardroom::{adapter::RunEvent, model::Outcome};

use crate::harness::{JOB, PIPELINE, Settings, TestHost, follow, key, line_with, start, wait, within};

#[tokio::test]
async fn the_stages_of_a_pipeline_are_followed() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.stage(JOB, 1, "Build", "SUCCESS");
    host.server.stage(JOB, 1, "Deploy", "IN_PROGRESS");
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "Progress").await;
    assert!(line.contains(r#"[Stage { name: "Build", state: Succeeded }, Stage { name: "Deploy", state: Running }]"#));
    host.server.stage(JOB, 1, "Deploy", "PAUSED_PENDING_INPUT");
    host.server.input(JOB, 1, "Promote", "Promote to all hosts?");
    let line = line_with(&mut lines, "Promote to all").await;
    assert!(line.contains(r#"Gate { id: "Promote@2", message: "Promote to all hosts?", choices: [] }"#), "{line}");
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_job_without_stages_is_asked_once() {
    let host = TestHost::new().await;
    host.server.freestyle("plain");
    host.server.parameter("plain", "TAG");
    let pipelines = host.with(Settings::job("plain"));
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1").await;
    for _ in 0..3 {
        host.server.log("plain", 1, b"one more line\n");
        line_with(&mut lines, "one more line").await;
    }
    host.server.end("plain", 1, "SUCCESS");
    within(end).await.unwrap().unwrap();
    assert_eq!(host.server.count("GET", "/wfapi/describe"), 1);
}

#[tokio::test]
async fn a_run_whose_files_were_lost_and_whose_job_has_no_key_is_unknowable() {
    let host = TestHost::without_key().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    std::fs::remove_dir_all(host.path("state")).unwrap();
    let lost = host.pipelines();
    match lost.state(&key("a-1"), PIPELINE).await.unwrap() {
        wardroom::adapter::RunState::Unknowable(reason) => {
            assert!(reason.starts_with("the files of the runs in the state folder are missing"), "{reason}")
        }
        other => panic!("{other:?}"),
    }
    // The new folder can be one that replaces a lost one.
    let next = host.pipelines();
    start(&next, "a-2").await.unwrap();
    assert!(matches!(next.state(&key("a-3"), PIPELINE).await.unwrap(), wardroom::adapter::RunState::Unknowable(_)));
    // In an older folder, a run without a file was never started.
    let created = std::fs::File::options().write(true).open(host.path("state/jenkins/ci/created")).unwrap();
    created.set_modified(std::time::SystemTime::now() - std::time::Duration::from_secs(25 * 3600)).unwrap();
    assert_eq!(next.state(&key("a-3"), PIPELINE).await.unwrap(), wardroom::adapter::RunState::Absent);
    host.server.end(JOB, 2, "SUCCESS");
    wait(&next, "a-2").await;
    let mut ignore = |_: RunEvent<'_>| {};
    assert!(next.ended(&key("a-3"), PIPELINE, &mut ignore).await.is_err());
}
