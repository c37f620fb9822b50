//! Tests of the processes that a program leaves running when it ends.

use std::fs;

use wardroom::{adapter::RunEnd, model::Outcome};

use crate::harness::{PIPELINE, TestHost, eventually, is_alive, key, run, values, wait};

#[tokio::test]
async fn a_process_that_ends_just_after_its_program_is_no_leftover() {
    let host = TestHost::new();
    // The reader of the pipe still works when the shell has ended, as in `exec > >(tee log)`.
    let script = "(sleep 0.1; echo last) & echo first";
    let (end, lines) = run(&host.script(script, ""), "a-1", &[]).await;
    assert_eq!((end.outcome, lines), (Outcome::Succeeded, vec!["first".to_owned(), "last".to_owned()]));
    assert!(!end.details.contains_key(RunEnd::NOTE), "{end:?}");
}

#[tokio::test]
async fn a_leftover_may_clean_up_and_is_killed_after_the_grace_period() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    let script = format!(
        "sh -c 'trap \"echo tidied > {folder}/tidied; exit\" TERM; echo > {folder}/one; while :; do sleep 0.05; done' &
         sh -c 'trap \"\" TERM; echo $$ > {folder}/two; while :; do sleep 0.05; done' &
         while ! [ -e {folder}/one -a -s {folder}/two ]; do sleep 0.05; done"
    );
    let (end, _) = run(&host.script(&script, "grace = '400ms'"), "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(host.wait_for_file("tidied"), "tidied");
    assert!(!is_alive(&host.wait_for_file("two")));
    assert!(end.details[RunEnd::NOTE].contains("`leave_running = true`"), "{end:?}");
    // The duration of the run is that of its program.
    assert!(end.ended.duration_since(end.started).as_millis() < 900, "{end:?}");
}

#[tokio::test]
async fn a_cancellation_does_not_wait_for_the_leftovers() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    // The child writes its file when its parent has ended, and is not reaped.
    let script = format!(
        "p=$$ sh -c 'trap \"\" TERM; until grep -q ^State:.Z /proc/$p/status; do sleep 0.01; done; echo $$ > {folder}/stays
         while :; do sleep 0.05; done' & exit 0"
    );
    let pipelines = host.script(&script, "grace = '1h'");
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    let stays = host.wait_for_file("stays");
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Succeeded, "the program had ended");
    assert!(!is_alive(&stays));
}

#[tokio::test]
async fn a_service_continues_only_if_the_pipeline_allows_it() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    let script = format!(
        "setsid sh -c 'echo $$ > {folder}/service; while ! [ -e {folder}/go ]; do sleep 0.05; done; echo served > {folder}/served' </dev/null >/dev/null 2>&1 &
         while ! [ -s {folder}/service ]; do sleep 0.05; done; echo started"
    );
    let (end, lines) = run(&host.script(&script, "leave_running = true"), "a-1", &[]).await;
    assert_eq!((end.outcome, lines), (Outcome::Succeeded, vec!["started".to_owned()]));
    assert!(!end.details.contains_key(RunEnd::NOTE), "{end:?}");
    let service = host.wait_for_file("service");
    assert!(is_alive(&service));
    fs::write(host.path("go"), "").unwrap();
    assert_eq!(host.wait_for_file("served"), "served");
    eventually(|| (!is_alive(&service)).then_some(()));
}

#[tokio::test]
async fn a_run_that_is_stopped_leaves_nothing_running() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    let script = format!("setsid sh -c 'echo $$ > {folder}/service; exec sleep 60' & sleep 60");
    let (end, _) =
        run(&host.script(&script, "leave_running = true\ntimeout = '1s'\ngrace = '200ms'"), "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 1 s"));
    assert!(!is_alive(&host.wait_for_file("service")));
}

#[tokio::test]
async fn a_program_that_closes_its_output_or_never_does_ends_normally() {
    let host = TestHost::new();
    let (end, lines) = run(&host.script("echo words; exec >&- 2>&-; sleep 0.3; exit 5", ""), "a-1", &[]).await;
    assert_eq!((end.message.as_str(), lines), ("exit code 5", vec!["words".to_owned()]));
    // A child that keeps the pipe open does not keep the run open.
    let (end, lines) = run(&host.script("echo words; setsid sleep 600 & exit 6", ""), "a-2", &[]).await;
    assert_eq!((end.message.as_str(), lines), ("exit code 6", vec!["words".to_owned()]));
}
