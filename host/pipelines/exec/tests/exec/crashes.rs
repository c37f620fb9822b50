//! A host or a supervisor that dies.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader},
    process::{Command, Stdio},
    time::{Duration, SystemTime},
};

use wardroom::port::{Outcome, RunState};

use crate::harness::{Host, NAME, eventually, is_alive, key, program, run, values, wait};

#[tokio::test]
async fn a_run_outlives_its_host() {
    let host = Host::new();
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
    let mut said = BufReader::new(first.stdout.take().unwrap()).lines();
    assert_eq!(said.next().unwrap().unwrap(), "started");
    assert_eq!(said.next().unwrap().unwrap(), "one");
    first.kill().unwrap();
    first.wait().unwrap();
    // The run holds nothing that was the host's.
    assert!(said.next().is_none());
    assert!(is_alive(&host.written("pid")));
    assert_eq!(pipelines.state(&key("a-1"), NAME).await.unwrap(), RunState::Running);

    fs::write(host.path("go"), "").unwrap();
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Failed, "exit code 7"));
    assert_eq!(lines, ["one", "two"]);
}

#[tokio::test]
async fn an_order_that_is_still_on_its_way_starts_nothing_after_an_answer() {
    let host = Host::new();
    let folder = host.folder.path().display().to_string();
    let script = format!("echo ran >> {folder}/count");
    let pipelines = host.script(&script, "");
    fs::write(host.path("config.toml"), format!("run = ['sh', {:?}]", host.path("script"))).unwrap();
    // A supervisor that has its whole order, and comes no further for a while.
    let slow = format!(
        "#!/bin/sh\ncat > {folder}/order\necho $$ > {folder}/held\nwhile ! [ -e {folder}/go ]; do sleep 0.05; done\nexec {} \"$@\" < {folder}/order\n",
        program("supervisor").display()
    );
    fs::write(host.path("slow.sh"), slow).unwrap();
    // Another process makes the program: one that is open for writing, here or in a fork of ours, cannot be started.
    let make = format!("cp {folder}/slow.sh {folder}/slow && chmod +x {folder}/slow");
    assert!(Command::new("sh").args(["-c", &make]).status().unwrap().success());
    let order = |key: &str| {
        Command::new(program("start"))
            .args([host.path("config.toml"), host.runs(), host.path("slow"), key.into()])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap()
    };

    let mut died = order("a-1");
    let supervisor = host.written("held");
    died.kill().unwrap();
    died.wait().unwrap();
    assert_eq!(pipelines.state(&key("a-1"), NAME).await.unwrap(), RunState::Absent);
    fs::write(host.path("go"), "").unwrap();
    eventually(|| (!is_alive(&supervisor)).then_some(()));
    assert_eq!(pipelines.state(&key("a-1"), NAME).await.unwrap(), RunState::Absent);
    assert!(!host.path("count").exists());

    // A host that lives is told the same.
    for name in ["go", "held"] {
        fs::remove_file(host.path(name)).unwrap();
    }
    let lives = order("a-2");
    host.written("held");
    assert_eq!(pipelines.state(&key("a-2"), NAME).await.unwrap(), RunState::Absent);
    fs::write(host.path("go"), "").unwrap();
    let lives = lives.wait_with_output().unwrap();
    assert!(!lives.status.success() && String::from_utf8_lossy(&lives.stderr).contains("never started"), "{lives:?}");
    assert!(!host.path("count").exists());

    // And with nobody's answer in between it runs, however late.
    fs::remove_file(host.path("held")).unwrap();
    assert!(order("a-3").wait().unwrap().success());
    assert_eq!(host.written("count"), "ran");
    let mut names: Vec<_> = fs::read_dir(host.runs()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    names.sort();
    assert_eq!(names, ["a-1", "a-2", "a-3"]);
}

#[tokio::test]
async fn a_supervisor_that_is_killed_takes_its_run_with_it() {
    let host = Host::new();
    let folder = host.folder.path().display();
    let script = format!(
        "echo ran >> {folder}/count; sh -c 'echo $$ > {folder}/child; sleep 60' & echo $$ > {folder}/program; wait"
    );
    let pipelines = host.script(&script, "");
    pipelines.start(&key("a-1"), NAME, &values(&[])).await.unwrap();
    let (program, child) = (host.written("program"), host.written("child"));
    let plan = fs::read_to_string(host.runs().join("a-1/plan.json")).unwrap();
    let plan: serde_json::Value = serde_json::from_str(&plan).unwrap();
    let supervisor = plan["session"]["leader"].to_string();
    assert!(Command::new("kill").args(["-KILL", &supervisor]).status().unwrap().success());
    // The kernel does this, whether a host is there or not.
    eventually(|| (!is_alive(&program)).then_some(()));

    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!((end.outcome, end.message.as_str()), (Outcome::Unknown, "interrupted"));
    eventually(|| (!is_alive(&child)).then_some(()));
    // It stays so, and is not started again.
    let other = host.script(&script, "");
    assert_eq!(run(&other, "a-1", &[]).await.0, end);
    assert_eq!(other.state(&key("a-1"), NAME).await.unwrap(), RunState::Ended(end));
    assert_eq!(host.written("count"), "ran");
}

/// A folder as it is left where the supervisor died between the claim and the start.
fn claimed(host: &Host, name: &str, leader: u32, boot: &str) {
    let folder = host.runs().join(name);
    fs::create_dir_all(&folder).unwrap();
    File::create(folder.join("lock")).unwrap();
    let plan = serde_json::json!({
        "pipeline": NAME, "program": "/bin/true", "arguments": [], "directory": "/", "environment": [], "user": null,
        "timeout": { "secs": 1, "nanos": 0 }, "asked": "2026-01-02T03:04:05Z",
        "session": { "leader": leader, "began": 1, "boot": boot },
    });
    fs::write(folder.join("plan.json"), plan.to_string()).unwrap();
}

#[tokio::test]
async fn numbers_that_belong_to_others_by_now_are_left_alone() {
    let host = Host::new();
    let pipelines = host.script("true", "");
    // It leads a session, with a number that a supervisor could have had before.
    let mut other = Command::new("setsid").args(["sleep", "60"]).spawn().unwrap();
    let number = other.id().to_string();
    eventually(|| {
        let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap();
        (stat.contains("(sleep)") && stat.split(' ').nth(5) == Some(&number)).then_some(())
    });
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap();
    claimed(&host, "a-1", other.id(), boot.trim());
    claimed(&host, "a-2", other.id(), "another");
    for name in ["a-1", "a-2"] {
        let (end, _) = wait(&pipelines, name).await;
        assert_eq!((end.outcome, end.started.to_string().as_str()), (Outcome::Unknown, "2026-01-02T03:04:05Z"));
    }
    assert!(is_alive(&number));
    other.kill().unwrap();
    other.wait().unwrap();
}

#[tokio::test]
async fn a_verdict_that_cannot_be_read_is_as_good_as_none() {
    let host = Host::new();
    let pipelines = host.script("true", "");
    run(&pipelines, "a-1", &[]).await;
    fs::write(host.runs().join("a-1/verdict.json"), "{").unwrap();
    let RunState::Ended(end) = pipelines.state(&key("a-1"), NAME).await.unwrap() else { panic!("it has not ended") };
    assert_eq!(end.outcome, Outcome::Unknown);
}

#[tokio::test]
async fn what_supervisors_left_before_their_claim_is_removed() {
    let host = Host::new();
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
