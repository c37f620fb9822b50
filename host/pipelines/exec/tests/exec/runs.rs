//! Starting, following, cancelling and reading runs.

use std::{
    fs::{self, File},
    path::Path,
    process::Command,
    time::{Duration, Instant},
};

use tokio::task::JoinSet;
use wardroom::port::{Outcome, PipelineError, RunKey, RunState};

use crate::harness::{PIPELINE, TestHost, key, program, refusal, run, values, wait};

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
        "a parameter contains a zero byte"
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
async fn stored_output_is_bounded() {
    let host = TestHost::new();
    let script = "echo first; i=0; while [ $i -lt 300 ]; do head -c 65535 /dev/zero | tr '\\0' x; echo; i=$((i+1)); done; echo last";
    let pipelines = host.script(script, "");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    // Following begins with the last 64 KiB of output, so the first line may be missing.
    assert!(lines.last().unwrap() == "last" && lines.iter().all(|line| line.len() <= 16 << 10));
    let kept: u64 =
        fs::read_dir(host.runs().join("a-1")).unwrap().map(|file| file.unwrap().metadata().unwrap().len()).sum();
    assert!((5 << 20..7 << 20).contains(&kept), "{kept} bytes were kept");
    let tail = pipelines.output(&key("a-1"), PIPELINE, 100_000_000).await.unwrap();
    assert!(
        tail.starts_with("first\n") && tail.ends_with("\nlast\n") && tail.contains("bytes of output were not kept]")
    );
    assert_eq!(pipelines.output(&key("a-1"), PIPELINE, 5).await.unwrap(), "last\n");
}

/// The resident memory of a process, in bytes; `None` where it has ended.
fn memory(process: u32) -> Option<u64> {
    let status = fs::read_to_string(format!("/proc/{process}/status")).ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.trim().trim_end_matches(" kB").parse::<u64>().unwrap() << 10)
}

#[tokio::test]
async fn following_fast_output_takes_bounded_memory_and_time() {
    let host = TestHost::new();
    // Several hundred MiB a second, in lines of six bytes.
    let keys = "run = ['yes', '1.0.2']\ntimeout = '3s'\ngrace = '1s'";
    let pipelines = host.read(keys, &[]).unwrap();
    fs::write(host.path("config.toml"), keys).unwrap();
    // A separate process, because other tests use the memory of this one.
    let mut waiting = Command::new(program("start"))
        .args([host.path("config.toml"), host.runs(), program("supervisor"), "a-1".into()])
        .stdout(File::create(host.path("said")).unwrap())
        .spawn()
        .unwrap();
    let (began, mut most) = (Instant::now(), 0);
    let status = loop {
        most = most.max(memory(waiting.id()).unwrap_or(0));
        let status = waiting.try_wait().unwrap();
        if status.is_some() || most > 64 << 20 || began.elapsed() > Duration::from_secs(20) {
            break status;
        }
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let seen = wardroom::Timestamp::now();
    if status.is_none() {
        waiting.kill().unwrap();
        waiting.wait().unwrap();
        panic!("after {:?} the host uses {} MiB and has not detected the end", began.elapsed(), most >> 20);
    }
    let RunState::Ended(end) = pipelines.state(&key("a-1"), PIPELINE).await.unwrap() else {
        panic!("the run has not ended")
    };
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "timed out after 3 s"));
    assert!(seen.duration_since(end.ended).as_millis() < 2000, "seen at {seen}, ended at {}", end.ended);

    let said = fs::read_to_string(host.path("said")).unwrap();
    let lines: Vec<&str> = said.lines().collect();
    let [first, middle @ .., before_last, last] = lines.as_slice() else { panic!("there is no output") };
    assert_eq!((*first, *last), ("started", "failed timed out after 3 s"));
    // The last line is incomplete where the program was killed while it wrote; so is a line before skipped output.
    assert!("1.0.2".starts_with(before_last), "{before_last}");
    let (passed, shown): (Vec<&str>, Vec<&str>) = middle.iter().partition(|line| line.starts_with("[... "));
    assert!(passed.iter().all(|line| line.ends_with(" bytes of output came too fast and are not shown here]")));
    assert!(shown.iter().all(|line| "1.0.2".starts_with(line)));
    assert!(passed.len() > 1 && shown.len() > 1000, "{} and {}", passed.len(), shown.len());
}

#[tokio::test]
async fn the_tail_of_endless_output_is_read_at_once() {
    let host = TestHost::new();
    let pipelines = host.read("run = ['yes']", &[]).unwrap();
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    tokio::time::sleep(Duration::from_millis(300)).await;
    let asked = Instant::now();
    let tail = pipelines.output(&key("a-1"), PIPELINE, 100_000_000).await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(10));
    assert!(tail.starts_with("y\n") && tail.len() < 16 << 20, "{} bytes", tail.len());
    pipelines.cancel(&key("a-1"), PIPELINE).await.unwrap();
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Cancelled);
}

#[tokio::test]
async fn output_that_is_not_utf8_is_replaced() {
    let host = TestHost::new();
    let pipelines = host.script(r"printf '\377\376ok\r\n\000\n'; head -c 100000 /dev/urandom", "");
    let (end, lines) = run(&pipelines, "a-1", &[]).await;
    assert_eq!(end.outcome, Outcome::Succeeded);
    assert!(!lines.is_empty());
    assert!(pipelines.output(&key("a-1"), PIPELINE, 3000).await.unwrap().len() <= 3000);

    let (_, lines) = run(&host.script(r"printf '\377\376ok\r\n\000\n'", ""), "a-2", &[]).await;
    assert_eq!(lines, ["\u{fffd}\u{fffd}ok", "\0"]);
}

#[tokio::test]
async fn a_waiting_call_can_be_dropped() {
    let host = TestHost::new();
    let go = host.path("go");
    let pipelines = host.script(&format!("echo 1; echo 2; while ! [ -e {go:?} ]; do sleep 0.05; done; echo 3"), "");
    let first = key("a-1");
    pipelines.start(&first, PIPELINE, &values(&[])).await.unwrap();
    for _ in 0..3 {
        let mut ignore = |_: &str| {};
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
    // There was no run, and the refusal stays after the program is restored.
    fs::write(host.path("gone"), "#!/bin/sh\n").unwrap();
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
    assert_eq!(refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await), refused);
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await), refused);
}

#[tokio::test]
async fn a_missing_run_is_refused_and_reserves_its_key() {
    let host = TestHost::new();
    let pipelines = host.script("true", "");
    let none = "there is no run `a-1`";
    assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await), none);
    assert_eq!(refusal(pipelines.output(&key("a-1"), PIPELINE, 10).await), none);
    assert_eq!(refusal(pipelines.cancel(&key("a-1"), PIPELINE).await), none);
    assert_eq!(
        refusal(pipelines.start(&key("a-1"), "cms/moon", &values(&[])).await),
        "there is no pipeline `cms/moon`"
    );
    let bad = RunKey::new("../a", 1);
    assert_eq!(refusal(pipelines.start(&bad, PIPELINE, &values(&[])).await), "`../a-1` is not a valid run key");
    assert!(!host.runs().exists());

    // The report that a key has no run reserves the key, for every host.
    assert!(pipelines.state(&bad, PIPELINE).await.is_err());
    for pipelines in [&pipelines, &host.script("true", "")] {
        assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
        assert_eq!(refusal(pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await), "never started");
        assert_eq!(refusal(pipelines.ended(&key("a-1"), PIPELINE, &mut |_| {}).await), "never started");
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
            RunState::Absent => assert_eq!(refusal(started), "never started"),
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
