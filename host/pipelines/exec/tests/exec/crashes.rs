//! Tests of crashes of the host and of the supervisor during a pipeline run.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{PIPELINE, TestHost, eventually, is_alive, key, program, run, values, wait};

#[tokio::test]
async fn a_run_outlives_its_host() {
    let host = TestHost::new();
    let folder = host.folder.path().display().to_string();
    let script =
        format!("echo one; echo $$ > {folder}/pid; while ! [ -e {folder}/go ]; do sleep 0.05; done; echo two; exit 7");
    let pipelines = host.script(&script, "");
    fs::write(host.path("config.toml"), format!("run = ['sh', {:?}]", host.path("script"))).unwrap();
    let mut first = Command::new(program("start"))
        .args([host.path("config.toml"), host.runs(), program("supervisor"), "a-1".into()])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut printed = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(printed.next().unwrap().unwrap(), "started");
    assert_eq!(printed.next().unwrap().unwrap(), "one");
    first.kill().unwrap();
    first.wait().unwrap();
    // The run holds no file descriptor of the host.
    assert!(printed.next().is_none());
    assert!(is_alive(&host.wait_for_file("pid")));
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Running);

    fs::write(host.path("go"), "").unwrap();
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "exit code 7"));
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn a_request_in_flight_starts_nothing_once_its_key_is_reported_absent() {
    let host = TestHost::new();
    let folder = host.folder.path().display().to_string();
    let script = format!("echo ran >> {folder}/count");
    let pipelines = host.script(&script, "");
    fs::write(host.path("config.toml"), format!("run = ['sh', {:?}]", host.path("script"))).unwrap();
    // A supervisor that has read its request and is held before it acts.
    let slow = format!(
        "#!/bin/sh\ncat > {folder}/request\necho $$ > {folder}/held\nwhile ! [ -e {folder}/go ]; do sleep 0.05; done\nexec {} \"$@\" < {folder}/request\n",
        program("supervisor").display()
    );
    fs::write(host.path("slow.sh"), slow).unwrap();
    // Another process writes the program: exec fails while any process, here a fork of this one, has it open for
    // writing.
    let make = format!("cp {folder}/slow.sh {folder}/slow && chmod +x {folder}/slow");
    assert!(Command::new("sh").args(["-c", &make]).status().unwrap().success());
    let request = |key: &str| {
        Command::new(program("start"))
            .args([host.path("config.toml"), host.runs(), host.path("slow"), key.into()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };

    let mut died = request("a-1");
    let supervisor = host.wait_for_file("held");
    died.kill().unwrap();
    died.wait().unwrap();
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
    fs::write(host.path("go"), "").unwrap();
    eventually(|| (!is_alive(&supervisor)).then_some(()));
    assert_eq!(pipelines.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Absent);
    assert!(!host.path("count").exists());

    // A host that still waits gets the same response.
    for name in ["go", "held"] {
        fs::remove_file(host.path(name)).unwrap();
    }
    let lives = request("a-2");
    host.wait_for_file("held");
    assert_eq!(pipelines.state(&key("a-2"), PIPELINE).await.unwrap(), RunState::Absent);
    fs::write(host.path("go"), "").unwrap();
    let lives = lives.wait_with_output().unwrap();
    assert!(!lives.status.success() && String::from_utf8_lossy(&lives.stderr).contains("never started"), "{lives:?}");
    assert!(!host.path("count").exists());

    // Without a report in between, a late request starts its run.
    fs::remove_file(host.path("held")).unwrap();
    assert!(request("a-3").wait().unwrap().success());
    assert_eq!(host.wait_for_file("count"), "ran");
    let mut names: Vec<_> = fs::read_dir(host.runs()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a-1", "a-2", "a-3"]);
}

#[tokio::test]
async fn killing_the_supervisor_kills_its_run() {
    let host = TestHost::new();
    let folder = host.folder.path().display();
    let script = format!(
        "echo ran >> {folder}/count; sh -c 'echo $$ > {folder}/child; sleep 60' &
         setsid sh -c 'echo $$ > {folder}/fled; sleep 60' & echo $$ > {folder}/program; wait"
    );
    let pipelines = host.script(&script, "");
    pipelines.start(&key("a-1"), PIPELINE, &values(&[])).await.unwrap();
    let (program, child) = (host.wait_for_file("program"), host.wait_for_file("child"));
    let fled = host.wait_for_file("fled");
    let plan = fs::read_to_string(host.runs().join("a-1/plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let supervisor = plan["session"]["leader"].to_string();
    assert!(Command::new("kill").args(["-KILL", &supervisor]).status().unwrap().success());
    // The kernel does this without a host.
    eventually(|| (!is_alive(&program)).then_some(()));

    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Unknown, "interrupted"));
    eventually(|| (!is_alive(&child)).then_some(()));
    eventually(|| (!is_alive(&fled)).then_some(()));
    // The outcome stays, and the run is not started again.
    let other = host.script(&script, "");
    assert_eq!(run(&other, "a-1", &[]).await.0, end);
    assert_eq!(other.state(&key("a-1"), PIPELINE).await.unwrap(), RunState::Ended(end));
    assert_eq!(host.wait_for_file("count"), "ran");
}

/// Creates the folder of a pipeline run whose supervisor died after it created the folder and before it started the
/// program.
fn abandoned_folder(host: &TestHost, name: &str, leader: u32, boot: &str) {
    let folder = host.runs().join(name);
    fs::create_dir_all(&folder).unwrap();
    File::create(folder.join("lock")).unwrap();
    let plan = serde_json::json!({
        "pipeline": PIPELINE, "program": "/bin/true", "arguments": [], "directory": "/", "environment": [], "user": null,
        "timeout": { "secs": 1, "nanos": 0 }, "asked": "2026-01-02T03:04:05Z",
        "session": { "leader": leader, "began": 1, "boot": boot },
    });
    fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
}

#[tokio::test]
async fn reused_process_ids_are_not_killed() {
    let host = TestHost::new();
    let pipelines = host.script("true", "");
    // It leads a session with an id that an earlier supervisor may have had.
    let mut other = Command::new("setsid").args(["sleep", "60"]).spawn().unwrap();
    let number = other.id().to_string();
    eventually(|| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
        (stat.contains("(sleep)") && stat.split(' ').nth(5) == Some(&number)).then_some(())
    });
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    abandoned_folder(&host, "a-1", other.id(), boot.trim());
    abandoned_folder(&host, "a-2", other.id(), "another");
    for name in ["a-1", "a-2"] {
        let (end, _) = wait(&pipelines, name).await;
        assert_eq!((end.outcome, end.started.to_string().as_str()), (Outcome::Unknown, "2026-01-02T03:04:05Z"));
    }
    assert!(is_alive(&number));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn an_unreadable_verdict_means_interrupted() {
    let host = TestHost::new();
    let pipelines = host.script("true", "");
    run(&pipelines, "a-1", &[]).await;
    fs::write(host.runs().join("a-1/verdict.json"), "{").unwrap();
    let RunState::Ended(end) = pipelines.state(&key("a-1"), PIPELINE).await.unwrap() else {
        panic!("the run has not ended")
    };
    assert_eq!(end.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn old_temporary_folders_are_removed() {
    let host = TestHost::new();
    let old = SystemTime::now() - Duration::from_secs(7200);
    for name in [".new-old", ".new-young", ".new-locked", "old-1"] {
        let folder = host.runs().join(name);
        fs::create_dir_all(&folder).unwrap();
        File::create(folder.join("lock")).unwrap();
        if name != ".new-young" {
            File::open(&folder).unwrap().set_modified(old).unwrap();
        }
    }
    let locked = File::open(host.runs().join(".new-locked/lock")).unwrap();
    locked.lock().unwrap();
    run(&host.script("true", ""), "a-1", &[]).await;
    let mut names: Vec<_> = fs::read_dir(host.runs()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, [".new-locked", ".new-young", "a-1", "old-1"]);
}
