//! Tests SIGTERM, once and twice, while a plugin does not return, and SIGHUP.
//!
//! Not here: SIGTERM while a job waits for a run (`restart`).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Signal, kill_process};

use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::TestHost,
};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[plugin.scripted]
module = "{guests}/scripted.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]

[plugin.scripted.limits]
cpu  = "60s"
wall = "60s"
"#;

/// Starts a host with a running plugin that makes no call and does not return.
fn spinning(test_host: &TestHost) -> Result<RunningHost> {
    let mut host = RunningHost::start(test_host)?;
    host.say("script set:runs:yes spin")?;
    // The entry of the plugin's earlier call shows that the plugin runs.
    let called = "select count(*) from entry where kind = 'call'";
    // Wait until the host has created the database.
    let opened = || {
        Ok(Journal::open(&test_host.path("state"))
            .and_then(|mut journal| journal.count(called))
            .is_ok_and(|count| count == 1))
    };
    eventually("the call", opened)?;
    Ok(host)
}

#[test]
fn one_sigterm_ends_the_host_before_a_service_manager_kills_it() -> Result<()> {
    let test_host = TestHost::new(CONFIG)?;
    let (status, took, _) = spinning(&test_host)?.terminate()?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(took < Duration::from_secs(15), "{took:?}");
    let jobs = test_host.wardroom(&["jobs"], "")?;
    ensure!(jobs.out.contains("script set:runs:yes spin, by operator: running"), "{jobs:?}");
    ensure!(test_host.wardroom(&["journal", "verify"], "")?.code == Some(0));
    Ok(())
}

#[test]
fn a_hangup_is_ignored() -> Result<()> {
    let test_host = TestHost::new(CONFIG)?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("whoami")?;
    host.wait_for("You are")?;
    for _ in 0..2 {
        kill_process(host.id(), Signal::HUP)?;
        host.wait_for_log("ignored SIGHUP")?;
    }
    host.say("plugins")?;
    host.wait_for("scripted")?;
    ensure!(host.terminate()?.0.code() == Some(0));
    Ok(())
}

#[test]
fn two_sigterms_end_the_host_at_once() -> Result<()> {
    let test_host = TestHost::new(CONFIG)?;
    let host = spinning(&test_host)?;
    let began = Instant::now();
    kill_process(host.id(), Signal::INT)?;
    host.wait_for_log("shutting down")?;
    kill_process(host.id(), Signal::TERM)?;
    let (code, log) = host.log_when_ended()?;
    ensure!(code == Some(1) && log.contains("second signal"), "{code:?}\n{log}");
    // The exit is much earlier than the host's deadline for the plugin.
    ensure!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    ensure!(test_host.wardroom(&["journal", "verify"], "")?.code == Some(0));
    Ok(())
}
