//! Tests of starting, waiting for and cancelling pipeline runs.

use std::{fs, path::Path, process::Command, time::Duration};

use tokio::task::JoinSet;
use wardroom::{
    adapter::{PipelineError, RunEvent, RunState},
    model::{Outcome, RunKey},
};

use crate::harness::{PIPELINE, TestHost, key, refusal, run, values, wait};

#[tokio::test]
async fn a_successful_run_reports_its_lines_and_its_end() {
    let host = TestHost::new();
    let go = host.path("go");
    let pipelines =
        host.script(&format!("echo one; echo two >&2; while ! [ -e {go:?} ]; do sleep 0.05; done; printf three"), "");
    assert!(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap().is_none());
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Running);
    tokio::time::sleep(Duration::from_millis(100)).await;
    fs::write(go, "").unwrap();
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Succeeded, ""));
    assert_eq!(end.details, values(&[("exit-code", "0")]));
    assert!(end.ended.duration_since(end.started).as_millis() >= 100);
    assert_eq!(lines, ["one", "two", "three"]);
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Ended(end.clone()));
    assert_eq!(pipelines.output(&key("a-1"), PIPELINE, 9).await.unwrap(), "two\nthree");
    // The end can be read again, and a cancellation after the end has no effect.
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await, (end, lines));
}

#[tokio::test]
async fn a_failed_run_names_its_step_and_exit_code() {
    let host = TestHost::new();
    let pipelines = host.script("echo 'step: fetch'; echo 'step: migrate'; echo 'no such table' >&2; exit 3", "");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "in step migrate (exit code 3)"));
    assert_eq!(end.details, values(&[("exit-code", "3"), ("step", "migrate")]));
    assert_eq!(lines.last().unwrap(), "no such table");
    assert!(pipelines.output(&key("a-1"), PIPELINE, 1000).await.unwrap().ends_with("no such table\n"));

    let (end, _) = run(&host.script("exit 3", ""), "a-2", &[]).await;
    assert_eq!(end.message, "exit code 3");
    let (end, _) = run(&host.script("kill -KILL $$", ""), "a-3", &[]).await;
    assert_eq!(end.message, "killed by signal 9");
    assert_eq!(end.details, values(&[("signal", "9")]));
}

#[tokio::test]
async fn a_parameter_stays_inside_its_argument() {
    let host = TestHost::new();
    fs::write(host.path("arguments"), "for word; do printf '<%s>\\n' \"$word\"; done; echo \"$LABEL\"").unwrap();
    let keys = format!(
        "run = ['sh', {:?}, 'v={{version}}!', '{{{{x}}}}', '{{version}}{{version}}', '']\nenv.LABEL = 'cms {{version}}'",
        host.path("arguments")
    );
    let pipelines = host.read(&keys, &["version"]).unwrap();
    for (at, value) in
        ["; rm -rf /", "$(touch broken)", "two words", "\"'`", "{version}", "-n", "*", ""].into_iter().enumerate()
    {
        let (end, lines) = run(&pipelines, &format!("a-{at}"), &[("version", value), ("other", "x")]).await;
        assert_eq!(end.outcome, Outcome::Succeeded);
        assert_eq!(
            lines,
            [format!("<v={value}!>"), "<{x}>".into(), format!("<{value}{value}>"), "<>".into(), format!("cms {value}")]
        );
    }
    assert_eq!(
        refusal(pipelines.start(&key("b-1"), PIPELINE, &values(&[])).await),
        "the parameter `version` is missing"
    );
    assert_eq!(
        refusal(pipelines.start(&key("b-1"), PIPELINE, &values(&[("version", "a\0b")])).await),
        "the value of a pipeline parameter contains a NUL byte"
    );
    assert!(!host.runs().join("b-1").exists());
}

#[tokio::test(flavor = "multi_thread")]
async fn concurrent_starts_with_one_key_run_once() {
    let host = TestHost::new();
    let script = format!("echo ran >> {:?}; sleep 0.3", host.path("count"));
    let mut starts = JoinSet::new();
    for _ in 0..8 {
        // Each start comes from another host, as after a takeover.
        let pipelines = host.script(&script, "");
        starts.spawn(async move { pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await });
    }
    for answer in starts.join_all().await {
        assert_eq!(answer.unwrap(), None);
    }
    let pipelines = host.script(&script, "");
    let (end, _) = run(&pipelines, "a-1", &[]).await;
    assert_eq!(run(&pipelines, "a-1", &[]).await.0, end);
    assert_eq!(fs::read_to_string(host.path("count")).unwrap(), "ran\n");
    let names: Vec<_> = fs::read_dir(host.runs()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(names, ["a-1"]);
}

#[tokio::test]
async fn a_waiting_call_can_be_dropped() {
    let host = TestHost::new();
    let go = host.path("go");
    let pipelines = host.script(&format!("echo 1; echo 2; while ! [ -e {go:?} ]; do sleep 0.05; done; echo 3"), "");
    let first = key("a-1");
    pipelines.start(&first, PIPELINE, &values(&[])).await.unwrap();
    for _ in 0..3 {
        let mut ignore = |_: RunEvent<'_>| {};
        let waiting = pipelines.ended(&first, PIPELINE, &mut ignore);
        assert!(tokio::time::timeout(Duration::from_millis(70), waiting).await.is_err());
    }
    fs::write(go, "").unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.1, ["1", "2", "3"]);
}

#[tokio::test]
async fn a_cancelled_run_gets_sigterm() {
    let host = TestHost::new();
    let pipelines =
        host.script("echo 'step: migrate'; trap 'echo tidied; exit 0' TERM; echo ready; sleep 60 & wait", "");
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    while !pipelines.output(&key("a-1"), PIPELINE, 100).await.unwrap().contains("ready") {
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Cancelled, "in step migrate (cancelled)"));
    assert_eq!(lines.last().unwrap(), "tidied");
}

#[tokio::test]
async fn a_refused_start_stays_refused() {
    let host = TestHost::new();
    fs::write(host.path("gone"), "no program at all").unwrap();
    Command::new("chmod").arg("+x").arg(host.path("gone")).status().unwrap();
    let pipelines = host.read("run = ['./gone']", &[]).unwrap();
    fs::remove_file(host.path("gone")).unwrap();
    let refused = refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await);
    assert_eq!(
        refused,
        format!("cannot start `{}/./gone`: No such file or directory (os error 2)", host.folder.path().display())
    );
    // No run was started, and a start with the same key still fails after the program is restored.
    fs::write(host.path("gone"), "#!/bin/sh\n").unwrap();
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
    assert_eq!(refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await), refused);
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await), refused);
}

#[tokio::test]
async fn a_missing_run_is_refused_and_reserves_its_key() {
    let host = TestHost::new();
    let pipelines = host.script("true", "");
    let none = "there is no pipeline run `a-1`";
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await), none);
    assert_eq!(refusal(pipelines.output(&key("a-1"), PIPELINE, 10).await), none);
    assert_eq!(refusal(pipelines.cancel(&key("a-1"), PIPELINE).await), none);
    assert_eq!(
        refusal(pipelines.start(&key("a-1"), "cms/moon", &values(&[])).await),
        "there is no pipeline `cms/moon`"
    );
    let bad = RunKey::new("../a", 1);
    assert_eq!(
        refusal(pipelines.start(&bad, PIPELINE, &values(&[])).await),
        "`../a-1` is not a valid key of a pipeline run"
    );
    assert!(!host.runs().exists());

    // A host that reports that a run does not exist reserves the run's key. No host can then start the run.
    assert!(pipelines.state(&bad, PIPELINE).await.is_err());
    for pipelines in [&pipelines, &host.script("true", "")] {
        assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
        assert_eq!(
            refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await),
            "the pipeline run was never started"
        );
        assert_eq!(
            refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await),
            "the pipeline run was never started"
        );
    }
    assert_eq!(names(&host.runs()), ["a-1"]);
    assert_eq!(names(&host.runs().join("a-1")), ["lock", "verdict.json"]);
}

fn names(folder: &Path) -> Vec<String> {
    let entries = fs::read_dir(folder).unwrap();
    let mut names: Vec<String> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[tokio::test(flavor = "multi_thread")]
async fn a_start_and_a_status_check_agree() {
    let host = TestHost::new();
    let go = host.path("go");
    let pipelines = host.script(&format!("while ! [ -e {go:?} ]; do sleep 0.05; done"), "timeout = '1m'");
    let mut absent = 0;
    for at in 0..24 {
        let (asked, name) = (pipelines.clone(), key(&format!("a-{at}")));
        let looked = tokio::spawn(async move {
            tokio::time::sleep(Duration::from_millis(at)).await;
            let first = asked.state(&name, PIPELINE).await.unwrap();
            (first, asked.state(&name, PIPELINE).await.unwrap())
        });
        let start = async || pipelines.start(&key(&format!("a-{at}")), PIPELINE, &values(&[])).await;
        // The first check ends before a supervisor can exist; the others race with one.
        let ((first, second), started) = match at {
            0 => (looked.await.unwrap(), start().await),
            _ => {
                let started = start().await;
                (looked.await.unwrap(), started)
            }
        };
        assert_eq!(first, second);
        match first {
            RunState::Absent => assert_eq!(refusal(started), "the pipeline run was never started"),
            _ => assert_eq!((first, started.unwrap()), (RunState::Running, None)),
        }
        absent += usize::from(second == RunState::Absent);
    }
    assert!(absent > 0);
    fs::write(go, "").unwrap();
    assert_eq!(names(&host.runs()).len(), 24);
}

#[tokio::test]
async fn a_missing_or_silent_supervisor_is_reported() {
    let host = TestHost::new();
    let pipelines = host.read_with("run = ['true']", &[], vec!["/nowhere/supervisor".into()]).unwrap();
    assert!(
        refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await)
            .starts_with("cannot start the supervisor `/nowhere/supervisor`")
    );
    let pipelines = host.read_with("run = ['true']", &[], vec!["true".into()]).unwrap();
    let answer = pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await;
    assert!(
        matches!(answer, Err(PipelineError::Unavailable { message }) if message == "the supervisor `true` exited without a response")
    );
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
}
