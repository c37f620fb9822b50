//! Tests the whole host with its HTTP listener: webhook deliveries, health, metrics, and crashes.
//!
//! Not here: authentication and limits of the listener (`wardroom-http`).

use std::{
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};

use crate::{
    journal::Journal,
    running_host::{PATIENCE, RunningHost, eventually},
    test_host::{TestHost, failpoints},
};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[machine.ci]
ids = ["ci"]

[role.ci]
members      = ["ci"]
commands     = ["deploy"]
apps         = ["cms"]
environments = ["staging"]

[environment.staging]

[app.cms]
title = "Content Management System"

[app.cms.deploy.staging]
run        = ["./sample/deploy.sh", "cms", "staging", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[http]
listen = "127.0.0.1:{port}"

[[hook]]
name    = "build"
command = "deploy cms staging {version}"
as      = "ci"
room    = "console"
token   = { file = "token" }
capture = { version = "/build/version" }
when    = { "/build/status" = "SUCCESS" }
"#;

const DELIVERY: &str = r#"{"build": {"status": "SUCCESS", "version": "1.0.1"}}"#;

/// Creates a host that listens on a free port.
fn test_host() -> Result<(TestHost, u16)> {
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let test_host = TestHost::new(&CONFIG.replace("{port}", &port.to_string()))?;
    test_host.write("token", "s3cret\n")?;
    Ok((test_host, port))
}

/// Sends a request. Returns the status and the body, or `None` if the connection is refused.
fn ask(port: u16, request: &str, headers: &str, body: &str) -> Result<Option<(u16, String)>> {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", port)) else { return Ok(None) };
    stream.set_read_timeout(Some(PATIENCE))?;
    let length = body.len();
    let sent = write!(
        stream,
        "{request} HTTP/1.1\r\nhost: wardroom\r\nconnection: close\r\ncontent-length: {length}\r\n{headers}\r\n{body}"
    );
    let mut answer = String::new();
    if sent.is_err() || stream.read_to_string(&mut answer).is_err() || answer.is_empty() {
        return Ok(None);
    }
    let (head, body) = answer.split_once("\r\n\r\n").context("a head and a body")?;
    let status = head.split(' ').nth(1).context("a status")?.parse()?;
    Ok(Some((status, body.to_owned())))
}

/// Delivers a webhook with this delivery id.
fn deliver(port: u16, name: &str) -> Result<Option<(u16, String)>> {
    let headers = format!("authorization: Bearer s3cret\r\nidempotency-key: {name}\r\n");
    ask(port, "POST /hooks/build", &headers, DELIVERY)
}

fn get(port: u16, path: &str) -> Result<(u16, String)> {
    ask(port, &format!("GET {path}"), "", "")?.context("it answers")
}

/// Waits until the host answers.
fn up(host: &RunningHost, port: u16) -> Result<()> {
    eventually("the listener", || Ok(ask(port, "GET /healthz", "", "")?.is_some())).with_context(|| host.log())
}

#[test]
fn a_delivered_build_is_deployed_once_and_announced() -> Result<()> {
    let (test_host, port) = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    up(&host, port)?;
    ensure!(get(port, "/healthz")?.0 == 200 && get(port, "/readyz")?.0 == 200);
    ensure!(deliver(port, "build-17")? == Some((202, r#"{"status":"taken"}"#.to_owned())));
    host.wait_for("ci (hook build): deploy cms staging 1.0.1")?;
    host.wait_for("Content Management System: deployed version 1.0.1 to staging")?;
    let again = deliver(port, "build-17")?.context("an answer")?;
    ensure!(again.0 == 200 && again.1.starts_with(r#"{"status":"again","why":"#), "{again:?}");
    // Send a text as a command and as a delivery id. It must not appear in the log.
    host.say("/as @xyzzy:example.org")?;
    host.say("xyzzy plugh")?;
    host.wait_for("Unknown command")?;
    host.say("/as operator")?;
    host.say("where cms")?;
    host.wait_for("staging: 1.0.1")?;
    let (status, figures) = get(port, "/metrics")?;
    ensure!(status == 200 && !figures.contains("xyzzy") && !figures.contains("1.0.1"), "{figures}");
    for line in [
        "wardroom_commands_total{outcome=\"started\"} 1",
        "wardroom_commands_total{outcome=\"malformed\"} 1",
        "wardroom_jobs_ended_total{outcome=\"succeeded\"} 1",
        "wardroom_calls_total{plugin=\"deploy\",call=\"pipelines.trigger\",decision=\"allowed\"} 1",
        "wardroom_outbound_requests_total{target=\"exec\",method=\"start\",status=\"ok\",success=\"true\"} 1",
        "wardroom_hooks_total{hook=\"build\",answer=\"taken\"} 1",
        "wardroom_hooks_total{hook=\"build\",answer=\"again\"} 1",
        "wardroom_link_up{bot=\"marvin\",network=\"console\"} 1",
        "wardroom_plugins{state=\"loaded\"} 1",
    ] {
        ensure!(figures.lines().any(|found| found == line), "{line}\n{figures}");
    }
    host.say("status")?;
    host.wait_for("pipelines of exec: last answer at")?;
    host.say("stats")?;
    host.wait_for("cms/staging: 1 deployment, 0 failed, 0 rollbacks, median")?;
    let log = host.log();
    let (ended, took, said) = host.terminate()?;
    ensure!(ended.code() == Some(0) && took < Duration::from_secs(15), "{ended} after {took:?}");
    ensure!(said.iter().filter(|line| line.contains("(hook build)")).count() == 1, "{said:#?}");
    ensure!(!log.contains("s3cret") && !log.contains("build-17") && !log.contains("SUCCESS"), "{log}");
    let mut journal = Journal::open(&test_host.path("state"))?;
    ensure!(journal.count("select count(*) from job")? == 1 && test_host.runs().len() == 1);
    ensure!(ask(port, "GET /healthz", "", "")?.is_none(), "it is gone");
    Ok(())
}

#[test]
fn a_delivery_runs_once_after_a_crash_before_its_command() -> Result<()> {
    for point in ["after commit receive+say#1", "before commit open+enter:invocation+done#1"] {
        let (test_host, port) = test_host()?;
        let mut command = test_host.command(failpoints()?);
        command.arg("run").env("WARDROOM_CRASH_AT", point);
        let host = RunningHost::of(&test_host, command)?;
        up(&host, port)?;
        // The host was killed before its response, or right after it.
        let answered = deliver(port, "build-17")?;
        ensure!(answered.is_none_or(|(status, _)| status == 202), "{point}");
        eventually("the crash", || Ok(ask(port, "GET /healthz", "", "")?.is_none()))?;
        let before = host.kill()?;
        let mut host = RunningHost::start(&test_host)?;
        host.wait_for("Content Management System: deployed version 1.0.1 to staging").context(point)?;
        // A sender without a response delivers again.
        ensure!(deliver(port, "build-17")?.context("an answer")?.0 == 200, "{point}");
        let (ended, said) = host.finish()?;
        ensure!(ended.success(), "{point}: {ended}");
        let printed = before.iter().chain(&said).filter(|line| line.contains("(hook build)")).count();
        ensure!(printed == 1, "{point}: {before:#?}\n{said:#?}");
        let mut journal = Journal::open(&test_host.path("state"))?;
        ensure!(journal.count("select count(*) from job")? == 1 && test_host.runs().len() == 1, "{point}");
        ensure!(test_host.wardroom(&["journal", "verify"], "")?.code == Some(0), "{point}");
    }
    Ok(())
}

#[test]
fn a_listener_that_cannot_start_ends_the_host() -> Result<()> {
    let (test_host, port) = test_host()?;
    let taken = TcpListener::bind(("127.0.0.1", port))?;
    let ran = test_host.wardroom(&["run"], "whoami\n")?;
    let why = format!("cannot listen at 127.0.0.1:{port} ([http] in ");
    ensure!(ran.code == Some(1) && ran.err.contains(&why) && ran.out.is_empty(), "{ran:?}");
    drop(taken);
    std::fs::remove_file(test_host.path("token"))?;
    let ran = test_host.wardroom(&["run"], "whoami\n")?;
    ensure!(ran.code == Some(1) && ran.err.contains("hook `build`") && ran.err.contains("cannot be read"), "{ran:?}");
    test_host.write("token", "s3cret\n")?;
    // The host exits when its last chat ends.
    let ran = test_host.wardroom(&["run"], "whoami\n")?;
    ensure!(ran.code == Some(0) && ran.out.contains("You are operator"), "{ran:?}");
    Ok(())
}
