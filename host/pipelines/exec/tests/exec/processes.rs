//! What belongs to a run ends with it.

use wardroom::port::Outcome;

use crate::harness::{Host, eventually, is_alive, run};

#[tokio::test]
async fn a_run_that_takes_too_long_is_ended_with_all_that_is_its() {
    let host = Host::new();
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
    assert!(!is_alive(&host.written("outer")) && !is_alive(&host.written("inner")));
}

#[tokio::test]
async fn a_run_that_takes_too_long_may_tidy_up() {
    let host = Host::new();
    let pipelines = host.script("trap 'echo tidied; exit 0' TERM; sleep 60 & wait", "timeout = '2s'");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 2 s"));
    assert_eq!(lines, ["tidied"]);
}

#[tokio::test]
async fn what_a_program_leaves_behind_is_killed() {
    let host = Host::new();
    let folder = host.folder.path().display();
    // One stays in the group, one flees into a session of its own, one closes what it could be known by,
    // and one is no orphan before its parent is killed.
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
    assert!(end.ended.duration_since(end.started).as_secs() < 20);
    for name in ["stays", "flees", "hides", "nests"] {
        assert!(!is_alive(&host.written(name)), "`{name}` is alive");
    }
}

#[tokio::test]
async fn the_supervisor_leaves_too() {
    let host = Host::new();
    let (_, lines) = run(&host.script("echo $PPID; tty -s || echo no terminal", ""), "a-1", &[]).await;
    assert_eq!(lines[1], "no terminal");
    eventually(|| (!is_alive(&lines[0])).then_some(()));
}
