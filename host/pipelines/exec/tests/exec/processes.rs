//! Tests that all processes of a pipeline run end when the run ends.

use wardroom::{adapter::RunEnd, model::Outcome};

use crate::harness::{PIPELINE, TestHost, eventually, is_alive, key, program, run, values, wait};

#[tokio::test]
async fn a_timeout_kills_all_processes_of_the_run() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    // Both ignore SIGTERM; the inner one is a grandchild.
    let script = format!(
        "trap '' TERM; sh -c 'echo $$ > {folder}/inner; while :; do sleep 60; done' & echo $$ > {folder}/outer; wait"
    );
    let pipelines = host.script(&script, "timeout = '2s'\ngrace = '300ms'");
    let (end, _) = run(&pipelines, "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 2 s"));
    assert_eq!(end.details["signal"], "9");
    assert!(end.ended.duration_since(end.started).as_millis() >= 2300);
    assert!(!is_alive(&host.wait_for_file("outer")) && !is_alive(&host.wait_for_file("inner")));
}

#[tokio::test]
async fn a_program_may_clean_up_after_sigterm() {
    let host = TestHost::new();
    let pipelines = host.script("trap 'echo tidied; exit 0' TERM; sleep 60 & wait", "timeout = '2s'");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 2 s"));
    assert_eq!(lines, ["tidied"]);
}

#[tokio::test]
async fn processes_that_outlive_the_program_are_killed() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    // One stays in the group; one has its own session; one also closes its standard streams; one becomes an orphan only
    // when its parent is killed.
    let script = format!(
        "sh -c 'echo $$ > {folder}/stays; exec sleep 60' &
         setsid sh -c 'echo $$ > {folder}/flees; exec sleep 60' &
         (setsid sh -c 'echo $$ > {folder}/hides; exec sleep 60' >/dev/null 2>&1 </dev/null &)
         setsid sh -c \"setsid sh -c 'echo \\$\\$ > {folder}/nests; exec sleep 60' & wait\" &
         while ! [ -s {folder}/stays -a -s {folder}/flees -a -s {folder}/hides -a -s {folder}/nests ]; do sleep 0.05; done
         echo done"
    );
    let (end, lines) = run(&host.script(&script, ""), "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert_eq!(lines, ["done"]);
    let note = &end.details[RunEnd::NOTE];
    assert!(note.starts_with("The program left ") && note.contains("which were ended: sh, sleep"), "{note}");
    assert!(end.ended.duration_since(end.started).as_secs() < 20);
    for name in ["stays", "flees", "hides", "nests"] {
        assert!(!is_alive(&host.wait_for_file(name)), "process `{name}` is alive");
    }
}

#[tokio::test]
async fn the_supervisor_exits_after_the_run() {
    let host = TestHost::new();
    let (_, lines) = run(&host.script("echo $PPID; tty -s || echo no terminal", ""), "a-1", &[]).await;
    assert_eq!(lines[1], "no terminal");
    eventually(|| (!is_alive(&lines[0])).then_some(()));
}

#[tokio::test]
async fn a_chain_of_forks_ends_with_the_run() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    // Each process of the chain starts the next one in a session of its own, and ends.
    let chain = format!("echo $$ > {folder}/link; exec 2>/dev/null; setsid sh {folder}/chain & exit");
    std::fs::write(host.folder.path().join("chain"), chain).unwrap();
    let script = format!("setsid sh {folder}/chain & while ! [ -s {folder}/link ]; do sleep 0.05; done");
    let (end, _) = run(&host.script(&script, ""), "a-1", &[]).await;
    let last = || std::fs::read_to_string(host.folder.path().join("link")).unwrap();
    let before = last();
    tokio::time::sleep(std::time::Duration::from_millis(300)).await;
    // If the chain could not be killed, the run says so.
    assert_eq!((end.outcome == Outcome::Succeeded), before == last(), "{end:?}");
    assert_eq!(end.outcome, Outcome::Succeeded, "{end:?}");
}

#[tokio::test]
async fn a_program_that_leaves_its_process_group_is_killed_at_its_timeout() {
    let host = TestHost::new();
    let (folder, leave) = (host.folder.path().display(), program("leave_group"));
    let script = format!("trap '' TERM; echo $$ > {folder}/program; exec {leave:?} sleep 600");
    let (end, _) = run(&host.script(&script, "timeout = '2s'\ngrace = '300ms'"), "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 2 s"));
    assert_eq!(end.details["signal"], "9");
    assert!(!is_alive(&host.wait_for_file("program")));
}

#[tokio::test]
async fn a_cancelled_program_that_has_left_its_process_group_gets_sigterm() {
    let host = TestHost::new();
    let (folder, leave) = (host.folder.path().display(), program("leave_group"));
    let inner = format!("trap 'echo tidied; exit 0' TERM; echo $$ > {folder}/program; sleep 600 & wait");
    std::fs::write(host.path("inner"), inner).unwrap();
    let pipelines = host.script(&format!("exec {leave:?} sh {folder}/inner"), "");
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    let id = host.wait_for_file("program");
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, lines), (Outcome::Cancelled, vec!["tidied".to_owned()]));
    assert!(!is_alive(&id));
}
