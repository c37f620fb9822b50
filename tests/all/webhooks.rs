//! Tests the page of the book about webhooks: each hook on it is read from the page, and gets a delivery as its sender
//! documents it, over a real connection to a host.
//!
//! Not here: the listener itself (`wardroom-http`), and crashes (`http.rs`).

use std::{
    fs,
    io::{Read as _, Write as _},
    net::{TcpListener, TcpStream},
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;
use wardroom::Timestamp;

use crate::{
    book::sender_blocks,
    running_host::{PATIENCE, RunningHost, eventually},
    test_host::{TestHost, repository},
};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[machine.ci]

[role.ci]
members      = ["ci"]
commands     = ["deploy", "where"]
apps         = ["cms"]
environments = ["staging"]

[environment.staging]

[app.cms.deploy.staging]
run        = ["./deploy.sh", "{version}"]
parameters = { version = '[0-9]+\.[0-9]+\.[0-9]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[http]
listen = "127.0.0.1:{port}"
"#;

/// How a sender proves who it is.
enum Proof {
    /// A header with the secret after this text.
    Token(&'static str, &'static str),
    /// A header with the hexadecimal signature of the body after this text.
    Hub(&'static str, &'static str),
    Standard,
}

/// A delivery in the form that a sender documents.
struct Sender {
    hook: &'static str,
    proof: Proof,
    /// Further headers.
    headers: &'static [(&'static str, &'static str)],
    body: &'static str,
    /// The command that starts.
    command: &'static str,
    /// Another delivery of the sender, which starts nothing: its headers and its body.
    other: (&'static [(&'static str, &'static str)], &'static str),
}

const JSON: (&str, &str) = ("Content-Type", "application/json");

/// Returns one delivery of each sender. Sources: the senders' documentation of their webhooks, and the code of Gitea
/// (`services/webhook/deliver.go`), Alertmanager (`notify/webhook`), Grafana (`receivers/webhook`) and Harbor
/// (`pkg/notifier/formats`).
fn senders() -> Vec<Sender> {
    vec![
        Sender {
            hook: "github",
            proof: Proof::Hub("X-Hub-Signature-256", "sha256="),
            headers: &[
                JSON,
                ("User-Agent", "GitHub-Hookshot/044aadd"),
                ("X-GitHub-Delivery", "72d3162e-cc78-11e3-81ab-4c9367dc0958"),
                ("X-GitHub-Event", "push"),
                ("X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6"),
            ],
            body: r#"{"ref": "refs/tags/v1.1.0", "before": "0000000000000000000000000000000000000000", "after": "6113728f27ae82c7b1a177c8d03f9e96e0adf246", "repository": {"id": 17273051, "full_name": "octo-org/octo-repo"}, "pusher": {"name": "octocat"}, "created": true, "deleted": false, "forced": false, "base_ref": null, "commits": []}"#,
            command: "deploy cms staging 1.1.0",
            other: (
                &[JSON, ("X-GitHub-Event", "ping")],
                r#"{"zen": "Non-blocking is better than blocking.", "hook_id": 30, "hook": {"type": "Repository", "active": true}}"#,
            ),
        },
        Sender {
            hook: "gitlab",
            proof: Proof::Token("X-Gitlab-Token", ""),
            headers: &[
                JSON,
                ("User-Agent", "GitLab/17.1.0"),
                ("X-Gitlab-Event", "Release Hook"),
                ("X-Gitlab-Event-UUID", "13792a34-cac6-4fda-95a8-c58e00a3954e"),
                ("X-Gitlab-Webhook-UUID", "6e5a7d30-34a5-4d6e-a1f1-4d4b8f3e1f6d"),
                ("Idempotency-Key", "f5e5f430-f57b-4e6e-9fac-d9128cd7232f"),
            ],
            body: r#"{"id": 1, "created_at": "2020-11-02 12:55:12 UTC", "description": "v1.2.0 has been released", "name": "v1.2.0", "released_at": "2020-11-02 12:55:12 UTC", "tag": "v1.2.0", "object_kind": "release", "project": {"id": 2, "path_with_namespace": "gitlab-org/gitlab-test"}, "action": "create", "assets": {"count": 5}}"#,
            command: "deploy cms staging 1.2.0",
            other: (
                &[JSON, ("X-Gitlab-Event", "Push Hook"), ("Idempotency-Key", "a")],
                r#"{"object_kind": "push", "event_name": "push", "ref": "refs/heads/master", "project_id": 15}"#,
            ),
        },
        Sender {
            hook: "gitlab-signed",
            proof: Proof::Standard,
            headers: &[JSON, ("X-Gitlab-Event", "Release Hook")],
            body: r#"{"id": 2, "tag": "v1.2.1", "object_kind": "release", "action": "create"}"#,
            command: "deploy cms staging 1.2.1",
            other: (&[JSON], r#"{"id": 2, "tag": "v1.2.1", "object_kind": "release", "action": "update"}"#),
        },
        Sender {
            hook: "gitea",
            proof: Proof::Hub("X-Gitea-Signature", ""),
            headers: &[
                JSON,
                ("X-Gitea-Delivery", "f6266f16-1bf3-46a5-9ea4-602e06ead473"),
                ("X-Gitea-Event", "release"),
                ("X-Gitea-Event-Type", "release"),
                ("X-GitHub-Event", "release"),
                ("X-Hub-Signature", "sha1=7d38cdd689735b008b3c702edd92eea23791c5f6"),
            ],
            body: r#"{"action": "published", "release": {"id": 12, "tag_name": "v1.3.0", "target_commitish": "main", "draft": false, "prerelease": false}, "repository": {"full_name": "gitea/webhooks"}, "sender": {"login": "gitea"}}"#,
            command: "deploy cms staging 1.3.0",
            other: (
                &[JSON, ("X-Gitea-Event", "push")],
                r#"{"ref": "refs/heads/develop", "before": "28e1879d029cb852e4844d9c718537df08844e03", "total_commits": 1}"#,
            ),
        },
        Sender {
            hook: "bitbucket",
            proof: Proof::Hub("X-Hub-Signature", "sha256="),
            headers: &[
                JSON,
                ("User-Agent", "Bitbucket-Webhooks/2.0"),
                ("X-Event-Key", "repo:push"),
                ("X-Hook-UUID", "a2a7e5c4-0f0a-4d3a-8b0c-5d2d7f1f9a11"),
                ("X-Request-UUID", "b4b3b6de-5e2a-4a5f-9a6a-1b2a3c4d5e6f"),
                ("X-Attempt-Number", "1"),
            ],
            body: r#"{"actor": {"type": "user"}, "repository": {"type": "repository", "full_name": "team/cms"}, "push": {"changes": [{"old": null, "new": {"type": "tag", "name": "v1.4.0", "target": {"type": "commit"}}, "created": true, "forced": false, "closed": false}]}}"#,
            command: "deploy cms staging 1.4.0",
            // The tag was deleted.
            other: (
                &[JSON, ("X-Event-Key", "repo:push")],
                r#"{"push": {"changes": [{"old": {"type": "tag", "name": "v1.4.0"}, "new": null, "closed": true}]}}"#,
            ),
        },
        Sender {
            hook: "bitbucket-server",
            proof: Proof::Hub("X-Hub-Signature", "sha256="),
            headers: &[
                ("Content-Type", "application/json; charset=utf-8"),
                ("X-Event-Key", "repo:refs_changed"),
                ("X-Request-Id", "96efd4cb-05ca-46cd-ac82-3cdf066ea77d"),
            ],
            body: r#"{"eventKey": "repo:refs_changed", "date": "2017-09-19T09:45:32+1000", "actor": {"name": "admin"}, "repository": {"slug": "cms"}, "changes": [{"ref": {"id": "refs/tags/v1.4.1", "displayId": "v1.4.1", "type": "TAG"}, "refId": "refs/tags/v1.4.1", "fromHash": "0000000000000000000000000000000000000000", "toHash": "178864a7d521b6f5e720b386b2c2b0ef8563e0dc", "type": "ADD"}]}"#,
            command: "deploy cms staging 1.4.1",
            other: (&[("X-Event-Key", "diagnostics:ping")], r#"{"test": true}"#),
        },
        Sender {
            hook: "jenkins",
            proof: Proof::Token("Authorization", "Bearer "),
            headers: &[JSON, ("Idempotency-Key", "jenkins-cms-main-17")],
            body: r#"{"job":"cms/main","build":{"number":17,"status":"SUCCESS","version":"1.5.0"}}"#,
            command: "deploy cms staging 1.5.0",
            other: (
                &[JSON, ("Idempotency-Key", "jenkins-cms-main-18")],
                r#"{"job":"cms/main","build":{"number":18,"status":"UNSTABLE","version":"1.5.0"}}"#,
            ),
        },
        Sender {
            hook: "alertmanager",
            proof: Proof::Token("Authorization", "Bearer "),
            headers: &[JSON, ("User-Agent", "Alertmanager/0.28.0")],
            body: r#"{"receiver": "wardroom", "status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "HighErrorRate", "app": "cms"}, "annotations": {}, "startsAt": "2026-11-20T08:00:00.123Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "http://prometheus:9090/graph", "fingerprint": "c6eadffa33fcdf37"}], "groupLabels": {"alertname": "HighErrorRate"}, "commonLabels": {"alertname": "HighErrorRate", "app": "cms"}, "commonAnnotations": {}, "externalURL": "http://alertmanager:9093", "version": "4", "groupKey": "{}:{alertname=\"HighErrorRate\"}", "truncatedAlerts": 0}"#,
            command: "where cms",
            other: (
                &[JSON],
                r#"{"status": "resolved", "alerts": [], "commonLabels": {"app": "cms"}, "version": "4", "groupKey": "{}:{alertname=\"HighErrorRate\"}"}"#,
            ),
        },
        Sender {
            hook: "grafana",
            proof: Proof::Token("Authorization", "Bearer "),
            headers: &[JSON, ("User-Agent", "Grafana")],
            body: r#"{"receiver": "wardroom", "status": "firing", "orgId": 1, "alerts": [{"status": "firing", "labels": {"alertname": "High memory usage", "app": "cms"}, "annotations": {}, "startsAt": "2021-10-12T09:51:03.157076+02:00", "endsAt": "0001-01-01T00:00:00Z", "fingerprint": "c6eadffa33fcdf37", "values": {"B": 44.23943737541908}}], "groupLabels": {}, "commonLabels": {"app": "cms"}, "commonAnnotations": {}, "externalURL": "https://play.grafana.org/", "version": "1", "groupKey": "{}/{app=\"cms\"}:{}", "truncatedAlerts": 0, "title": "[FIRING:1]", "state": "alerting", "message": ""}"#,
            command: "where cms",
            // The page of a contact point sends a test.
            other: (
                &[JSON],
                r#"{"receiver": "test", "status": "firing", "alerts": [{"status": "firing", "labels": {"alertname": "TestAlert", "instance": "Grafana"}, "startsAt": "2026-11-20T08:00:00Z"}], "commonLabels": {"alertname": "TestAlert", "instance": "Grafana"}, "version": "1", "groupKey": "test"}"#,
            ),
        },
        Sender {
            hook: "harbor",
            proof: Proof::Token("Authorization", "Bearer "),
            headers: &[JSON],
            body: r#"{"type":"PUSH_ARTIFACT","occur_at":1678082303,"operator":"admin","event_data":{"resources":[{"digest":"sha256:dde8e930c7b6a490f728e66292bc9bce42efc9bbb5278bae40e4f30f6e00fe8c","tag":"1.6.0","resource_url":"harbor.dev/team/cms:1.6.0"}],"repository":{"date_created":1677053165,"name":"cms","namespace":"team","repo_full_name":"team/cms","repo_type":"private"}}}"#,
            command: "deploy cms staging 1.6.0",
            other: (
                &[JSON],
                r#"{"type":"PUSH_ARTIFACT","occur_at":1678082304,"operator":"admin","event_data":{"resources":[{"digest":"sha256:dde8","tag":"latest","resource_url":"harbor.dev/team/cms:latest"}],"repository":{"repo_full_name":"team/cms"}}}"#,
            ),
        },
        Sender {
            hook: "harbor-events",
            proof: Proof::Token("Authorization", "Bearer "),
            headers: &[("Content-Type", "application/cloudevents+json")],
            body: r#"{"specversion":"1.0","requestid":"2eedfab8-61d3-4f3c-8ec3-8f82d1ec4c84","id":"4b2f89a6-548d-4c12-9993-a1f5790b97d2","source":"/projects/1/webhook/policies/3","type":"harbor.artifact.pushed","datacontenttype":"application/json","time":"2023-03-06T06:08:43Z","data":{"resources":[{"digest":"sha256:dde8","tag":"1.6.1","resource_url":"harbor.dev/team/cms:1.6.1"}],"repository":{"date_created":1677053165,"name":"cms","namespace":"team","repo_full_name":"team/cms","repo_type":"private"}},"operator":"admin"}"#,
            command: "deploy cms staging 1.6.1",
            other: (
                &[("Content-Type", "application/cloudevents+json")],
                r#"{"specversion":"1.0","id":"5","type":"harbor.artifact.pulled","data":{"resources":[{"tag":"1.6.1"}],"repository":{"repo_full_name":"team/cms"}}}"#,
            ),
        },
    ]
}

impl Sender {
    /// Returns the text in the file of the secret, and the key that the sender signs with.
    fn secret(&self) -> (String, Vec<u8>) {
        let text = format!("the secret of {}", self.hook);
        match self.proof {
            Proof::Standard => (format!("whsec_{}", BASE64_STANDARD.encode(&text)), text.into_bytes()),
            Proof::Token(..) | Proof::Hub(..) => (text.clone(), text.into_bytes()),
        }
    }

    /// Sends a delivery that is authenticated with `key`. Returns the status and the body of the response.
    fn deliver(&self, port: u16, key: &[u8], headers: &[(&str, &str)], body: &str) -> Result<(u16, String)> {
        let sign = |parts: &[&str]| -> Result<Vec<u8>> {
            let mut mac = Hmac::<Sha256>::new_from_slice(key)?;
            parts.iter().for_each(|part| mac.update(part.as_bytes()));
            Ok(mac.finalize().into_bytes().to_vec())
        };
        let mut head = format!("POST /hooks/{} HTTP/1.1\r\nHost: wardroom\r\nConnection: close\r\n", self.hook);
        let mut add = |name: &str, value: &str| head.push_str(&format!("{name}: {value}\r\n"));
        match self.proof {
            Proof::Token(name, before) => add(name, &format!("{before}{}", String::from_utf8_lossy(key))),
            Proof::Hub(name, before) => add(name, &format!("{before}{}", hex::encode(sign(&[body])?))),
            Proof::Standard => {
                let at = Timestamp::now().as_second().to_string();
                let id = format!("{}", body.len());
                add("webhook-signature", &format!("v1,{}", BASE64_STANDARD.encode(sign(&[&id, ".", &at, ".", body])?)));
                add("webhook-id", &id);
                add("webhook-timestamp", &at);
            }
        }
        headers.iter().for_each(|(name, value)| add(name, value));
        let mut stream = TcpStream::connect(("127.0.0.1", port))?;
        stream.set_read_timeout(Some(PATIENCE))?;
        write!(stream, "{head}Content-Length: {}\r\n\r\n{body}", body.len())?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("a head and a body")?;
        Ok((head.split(' ').nth(1).context("a status")?.parse()?, body.to_owned()))
    }
}

#[test]
fn every_hook_on_the_page_of_senders_takes_the_deliveries_of_its_sender() -> Result<()> {
    // 1. Start a host with the hooks of the page. Only the room is another one.
    let page = repository().join("docs/src/webhooks.md");
    let hooks = sender_blocks(&page)?.concat().replace("\"#ops:example.org\"", "\"console\"");
    let senders = senders();
    let known: Vec<String> = senders.iter().map(|sender| sender.hook.to_owned()).collect();
    let parsed: toml::Table = hooks.parse()?;
    let named = parsed["hook"].as_array().context("hooks")?.iter().filter_map(|hook| hook["name"].as_str());
    ensure!(named.eq(known.iter().map(String::as_str)), "the page and the test have different hooks: {known:?}");
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let test_host = TestHost::new(&format!("{}{hooks}", CONFIG.replace("{port}", &port.to_string())))?;
    test_host.script("deploy.sh", "#!/bin/sh\n")?;
    for sender in &senders {
        test_host.write(&format!("secrets/{}", sender.hook), &format!("{}\n", sender.secret().0))?;
    }
    let check = test_host.wardroom(&["check"], "")?;
    ensure!(check.code == Some(0), "{}{}", check.out, check.err);
    let mut host = RunningHost::start(&test_host)?;
    eventually("the listener", || Ok(TcpStream::connect(("127.0.0.1", port)).is_ok())).with_context(|| host.log())?;
    // 2. Send each delivery, then the same one again, another one, and one without the secret.
    for sender in &senders {
        let (hook, key) = (sender.hook, sender.secret().1);
        let first = sender.deliver(port, &key, sender.headers, sender.body)?;
        ensure!(first == (202, r#"{"status":"taken"}"#.to_owned()), "{hook}: {first:?}");
        host.wait_for(&format!("ci (hook {hook}): {}", sender.command))?;
        let answer = sender
            .command
            .strip_prefix("deploy cms staging ")
            .map_or("| cms".to_owned(), |version| format!("cms: deployed version {version} to staging"));
        host.wait_for(&answer)?;
        let again = sender.deliver(port, &key, sender.headers, sender.body)?;
        ensure!(again.0 == 200 && again.1.contains(r#""status":"again""#), "{hook}: {again:?}");
        let (headers, body) = sender.other;
        let other = sender.deliver(port, &key, headers, body)?;
        ensure!(other.0 == 200 && other.1.contains(r#""status":"left""#), "{hook}: {other:?}");
        let forged = sender.deliver(port, b"another secret", sender.headers, sender.body)?;
        ensure!(forged == (401, r#"{"error":"not authorized"}"#.to_owned()), "{hook}: {forged:?}");
    }
    // 3. An admin asks for a redelivery.
    let github = &senders[0];
    host.say("hook github again")?;
    host.wait_for("Send the newest delivery to the hook `github` again within 10 min.")?;
    let again = github.deliver(port, &github.secret().1, github.headers, github.body)?;
    ensure!(again.0 == 202, "{again:?}");
    host.wait_for("ci (hook github): deploy cms staging 1.1.0")?;
    host.wait_for("cms: deployed version 1.1.0 to staging")?;
    // 4. Nothing of a body or a header is in the metrics or in the log.
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: wardroom\r\nConnection: close\r\n\r\n")?;
    let mut metrics = String::new();
    stream.read_to_string(&mut metrics)?;
    let log = host.log();
    for word in ["refs/tags", "v1.1.0", "octocat", "HighErrorRate", "the secret of", "72d3162e"] {
        ensure!(!metrics.contains(word) && !log.contains(word), "{word}");
    }
    ensure!(metrics.contains(r#"wardroom_hooks_total{hook="harbor",answer="again"} 1"#), "{metrics}");
    let (ended, _) = host.finish()?;
    ensure!(ended.success(), "{ended}");
    Ok(())
}

#[test]
fn a_secret_that_cannot_authenticate_a_delivery_stops_the_start() -> Result<()> {
    let page = repository().join("docs/src/webhooks.md");
    let hooks = sender_blocks(&page)?.concat().replace("\"#ops:example.org\"", "\"console\"");
    let test_host = TestHost::new(&format!("{}{hooks}", CONFIG.replace("{port}", "0")))?;
    test_host.script("deploy.sh", "#!/bin/sh\n")?;
    for sender in senders() {
        test_host.write(&format!("secrets/{}", sender.hook), &sender.secret().0)?;
    }
    let text = fs::read_to_string(test_host.path("plugins.toml"))?;
    let line_of = |hook: &str| -> Result<usize> {
        let name = text.lines().position(|line| line.contains("name ") && line.contains(&format!("\"{hook}\"")));
        name.context("the hook")
    };
    for (hook, secret, why) in [
        ("gitlab-signed", "whsec_not base64", "must hold base64 after `whsec_`; write: secret = { file = "),
        (
            "github",
            "abc\nabc\n",
            "a byte order mark or a line break, so no delivery can be authenticated; write: printf",
        ),
        ("jenkins", "Bearer abc", "begins with `Bearer`"),
    ] {
        let before = fs::read_to_string(test_host.path(format!("secrets/{hook}")))?;
        test_host.write(&format!("secrets/{hook}"), secret)?;
        let ran = test_host.wardroom(&["run"], "whoami\n")?;
        // The line of the table is the one before its name.
        let place = format!("hook `{hook}` (plugins.toml line {}): ", line_of(hook)?);
        ensure!(ran.code == Some(1) && ran.err.contains(&place) && ran.err.contains(why), "{place}{why}\n{ran:?}");
        ensure!(!ran.err.contains(secret) && ran.out.is_empty(), "{ran:?}");
        test_host.write(&format!("secrets/{hook}"), &before)?;
    }
    Ok(())
}
