//! Tests the whole host with secrets from a real OpenBao: a pipeline's variable, a webhook's token, redaction, health, and
//! `check --connect`.
//!
//! Not here: the kinds of logins and secrets (`wardroom-vault`).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::json;
use tokio::runtime::Runtime;
use wardroom_openbao::Bao;

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

[vault.prod]
url          = "{url}"
token        = { file = "vault-token" }
refresh      = "1s"
environments = ["staging"]

[environment.staging]

[app.cms.deploy.staging]
run        = ["./show.sh", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }
env        = { TOKEN = { vault = "prod:secret/ci/jenkins#token" } }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[http]
listen = "127.0.0.1:{port}"

[machine.ci]
ids = ["ci"]

[role.ci]
members      = ["ci"]
commands     = ["deploy"]
apps         = ["cms"]
environments = ["staging"]

[[hook]]
name    = "build"
command = "deploy cms staging {version}"
as      = "ci"
room    = "console"
token   = { vault = "prod:secret/ci/hook#token" }
capture = { version = "/version" }
"#;

/// Writes the value of the variable to a file, and prints it.
const SCRIPT: &str = "#!/bin/sh\nprintf %s \"$TOKEN\" > \"seen-$1\"\necho \"the token is $TOKEN\"\n";

struct World {
    runtime: Runtime,
    bao: Bao,
    host: TestHost,
    port: u16,
}

impl World {
    fn new() -> Result<Self> {
        let runtime = Runtime::new()?;
        let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
        let (bao, token) = runtime.block_on(async {
            let bao = Bao::start().await;
            bao.write("ci/jenkins", json!({ "token": "first-value-of-jenkins" })).await;
            bao.write("ci/hook", json!({ "token": "token-of-the-hook-4711" })).await;
            let token = bao.token(json!({})).await;
            (bao, token)
        });
        let host = TestHost::new(&CONFIG.replace("{url}", &bao.url()).replace("{port}", &port.to_string()))?;
        host.script("show.sh", SCRIPT)?;
        host.write("vault-token", &token)?;
        Ok(Self { runtime, bao, host, port })
    }

    fn write(&self, value: &str) {
        self.runtime.block_on(self.bao.write("ci/jenkins", json!({ "token": value })));
    }

    fn seen(&self, version: &str) -> Result<String> {
        Ok(fs::read_to_string(self.host.path(format!("seen-{version}")))?)
    }

    fn request(&self, head: &str, body: &str) -> Result<String> {
        let mut stream = TcpStream::connect(("127.0.0.1", self.port))?;
        let length = body.len();
        write!(stream, "{head} HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: {length}\r\n")?;
        write!(stream, "Idempotency-Key: delivery-1\r\n")?;
        write!(stream, "Authorization: Bearer token-of-the-hook-4711\r\nContent-Type: application/json\r\n\r\n{body}")?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    }
}

#[test]
fn a_pipeline_uses_the_newest_value_and_the_room_never_sees_it() -> Result<()> {
    let mut world = World::new()?;
    let mut host = RunningHost::start(&world.host)?;
    // 1. The variable of a pipeline.
    host.say("deploy cms staging 1.0.1")?;
    let line = host.wait_for("succeeded")?;
    let job = line.trim_start_matches('[').split(']').next().context("the id of the job")?.to_owned();
    ensure!(world.seen("1.0.1")? == "first-value-of-jenkins");
    host.say(&format!("logs {job}"))?;
    host.wait_for("the token is [redacted]")?;
    // 2. A new value, without a restart.
    world.write("second-value-of-jenkins");
    let mut version = 2;
    eventually("the new value in a run", || {
        host.say(&format!("deploy cms staging 1.0.{version}"))?;
        host.wait_for(&format!("deployed version 1.0.{version}"))?;
        let seen = world.seen(&format!("1.0.{version}"))?;
        version += 1;
        Ok(seen == "second-value-of-jenkins")
    })?;
    // 3. The token of a webhook.
    let answer = world.request("POST /hooks/build", r#"{"version": "2.0.0"}"#)?;
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    host.wait_for("deployed version 2.0.0")?;
    // 4. An outage: the last value stays, and the host says so.
    let ready = world.request("GET /readyz", "")?;
    ensure!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""store":"vault.prod","up":true"#), "{ready}");
    world.bao.kill();
    let down = r#""kept":2,"missing":0"#;
    eventually("the outage", || Ok(world.request("GET /readyz", "")?.contains(down)))?;
    let ready = world.request("GET /readyz", "")?;
    ensure!(ready.starts_with("HTTP/1.1 200") && ready.contains(r#""store":"vault.prod","up":false"#), "{ready}");
    let metrics = world.request("GET /metrics", "")?;
    ensure!(metrics.contains(r#"wardroom_secrets{store="vault.prod",state="kept"} 2"#), "{metrics}");
    host.say("status")?;
    host.wait_for("secrets of vault.prod: down since")?;
    host.wait_for("secret `prod:secret/ci/hook#token` cannot be read")?;
    host.say("deploy cms staging 3.0.0")?;
    host.wait_for("deployed version 3.0.0")?;
    ensure!(world.seen("3.0.0")? == "second-value-of-jenkins");
    // 5. No value is in the room, in the log or in the journal.
    let log = host.log();
    let said = host.said().join("\n");
    host.finish()?;
    let journal = fs::read(world.host.path("state/wardroom.db")).context("the database")?;
    for value in ["first-value-of-jenkins", "second-value-of-jenkins", "token-of-the-hook-4711"] {
        ensure!(!said.contains(value), "{value} was said");
        ensure!(!log.contains(value), "{value} is in the log");
        ensure!(!journal.windows(value.len()).any(|part| part == value.as_bytes()), "{value} is in the database");
    }
    Journal::open(&world.host.path("state"))?;
    Ok(())
}

#[test]
fn check_reads_each_secret_and_names_those_that_cannot_be_read() -> Result<()> {
    let world = World::new()?;
    let checked = world.host.wardroom(&["check", "--connect"], "")?;
    ensure!(checked.code == Some(0), "{checked:?}");
    ensure!(checked.out.contains("vault.prod: `prod:secret/ci/jenkins#token` can be read"), "{checked:?}");
    ensure!(checked.out.contains("vault.prod: logged in to http://127.0.0.1:"), "{checked:?}");
    let config = fs::read_to_string(world.host.path("plugins.toml"))?;
    world.host.configure(&config.replace("ci/jenkins#token", "ci/jenkins#tokn"))?;
    let checked = world.host.wardroom(&["check", "--connect"], "")?;
    ensure!(checked.code == Some(1), "{checked:?}");
    let line =
        "vault.prod: `prod:secret/ci/jenkins#tokn`: `secret/ci/jenkins` has no field `tokn`; it has the fields token";
    ensure!(checked.err.contains(line), "{checked:?}");
    // Without `--connect`, nothing connects.
    ensure!(world.host.wardroom(&["check"], "")?.code == Some(0));
    // A run says why its secret has no value.
    let typed = "deploy cms staging 1.0.1\n";
    let ran = world.host.wardroom(&["run"], typed)?;
    ensure!(ran.out.contains("has no field `tokn`; it has the fields token"), "{ran:?}");
    Ok(())
}

#[test]
fn a_host_starts_while_the_server_is_down_and_gets_its_secrets_later() -> Result<()> {
    let mut world = World::new()?;
    world.bao.kill();
    let mut host = RunningHost::start(&world.host)?;
    host.say("deploy cms staging 1.0.1")?;
    host.wait_for("has no value: http://127.0.0.1:")?;
    host.wait_for_log("the deliveries of the hook are refused until its secret has a value")?;
    let answer = world.request("POST /hooks/build", r#"{"version": "2.0.0"}"#)?;
    ensure!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    let ready = world.request("GET /readyz", "")?;
    ensure!(ready.starts_with("HTTP/1.1 503") && ready.contains(r#""kept":0,"missing":2"#), "{ready}");
    let token = world.runtime.block_on(async {
        world.bao.restart().await;
        world.bao.write("ci/jenkins", json!({ "token": "first-value-of-jenkins" })).await;
        world.bao.write("ci/hook", json!({ "token": "token-of-the-hook-4711" })).await;
        world.bao.token(json!({})).await
    });
    world.host.write("vault-token", &token)?;
    eventually("the secrets", || Ok(world.request("GET /readyz", "")?.starts_with("HTTP/1.1 200")))?;
    let answer = world.request("POST /hooks/build", r#"{"version": "2.0.0"}"#)?;
    ensure!(answer.starts_with("HTTP/1.1 202"), "{answer}");
    host.wait_for("deployed version 2.0.0")?;
    ensure!(world.seen("2.0.0")? == "first-value-of-jenkins");
    Ok(())
}
