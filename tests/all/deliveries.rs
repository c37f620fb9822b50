//! Tests which deliveries of webhooks start a command: known idempotency keys, windows, and requested redeliveries.

use anyhow::{Context as _, Result};
use wardroom::{
    engine::{Delivered, DeliveryError},
    store::Store as _,
    trigger::Delivery,
};

use crate::test_workspace::{Open, TestWorkspace};

const CONFIG: &str = r##"
[bot.marvin.memory]
rooms = ["ops"]

[people]
admins = ["alice"]

[machine.ci]

[role.ci]
members      = ["ci", "bob"]
commands     = ["deploy", "where"]
apps         = ["cms"]
environments = ["staging"]

[environment.staging]

[app.cms.deploy.staging]
memory     = true
parameters = { version = "[0-9.e]+" }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = "pipelines.trigger" }, { call = ["pipelines.wait", "catalog.*"] }]

[http]
listen = "127.0.0.1:0"

[[hook]]
name    = "build"
command = "deploy cms staging {version}"
as      = "ci"
room    = "ops"
secret  = { env = "HOOK_SECRET" }
sign    = "hub"
capture = { version = "/version" }

[[hook]]
name     = "alerts"
command  = "deploy cms staging {version}"
as       = "ci"
room     = "ops"
token    = { env = "HOOK_TOKEN" }
delivery = ["/groupKey", "/alerts/0/startsAt"]
window   = "1h"
capture  = { version = "/version" }

[[hook]]
name       = "each"
command    = "deploy cms staging {version}"
as         = "ci"
room       = "ops"
token      = { env = "HOOK_TOKEN" }
deliveries = "each"
capture    = { version = "/version" }
"##;

async fn deliver(open: &Open<'_>, hook: &str, delivery: Delivery<'_>) -> Result<Delivered, DeliveryError> {
    let hook = open.engine.hook(hook).expect("a hook of this name");
    open.engine.deliver(hook, &delivery).await
}

fn count(workspace: &TestWorkspace, words: &str) -> usize {
    workspace.said("marvin").iter().filter(|said| said.contains(words)).count()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_admin_can_ask_for_one_redelivery_and_automatic_ones_stay_deduplicated() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    workspace.at("2026-11-20T08:00:00Z")?;
    let open = workspace.open(CONFIG, None).await?;
    let again = || Delivery::new(r#"{"version": 1.10}"#).with_id("one");
    let older = || Delivery::new(r#"{"version": 1.9}"#).with_id("zero");
    // Without an accepted delivery, there is nothing to send again.
    open.say("alice", "ops", "!hook build again").await?;
    assert_eq!(count(&workspace, "The hook `build` has accepted no delivery"), 1, "{:?}", workspace.said("marvin"));
    assert_eq!(deliver(&open, "build", older()).await, Ok(Delivered::Accepted));
    open.settle().await?;
    workspace.at("2026-11-20T08:00:01Z")?;
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Accepted));
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.settle().await?;
    // Only an admin can ask for it, and only for a hook that exists.
    open.say("bob", "ops", "!hook build again").await?;
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.say("alice", "ops", "!hook biuld again").await?;
    assert_eq!(count(&workspace, "There is no hook `biuld`. Did you mean `!hook build again`?"), 1);
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.say("alice", "ops", "!hook build again").await?;
    let answer = "Send the newest delivery to the hook `build` again within 10 min. It starts its command once more";
    assert_eq!(count(&workspace, answer), 1, "{:?}", workspace.said("marvin"));
    // An older delivery does not use up the request, and starts nothing.
    assert_eq!(deliver(&open, "build", older()).await, Ok(Delivered::Duplicate));
    // A new delivery of the hook does not use up the request. Each deployment ends before the next one begins, because it
    // holds the lock.
    let new = Delivery::new(r#"{"version": 2}"#).with_id("two");
    assert_eq!(deliver(&open, "build", new).await, Ok(Delivered::Accepted));
    open.settle().await?;
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Accepted));
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.settle().await?;
    assert_eq!(count(&workspace, "ci (hook build): deploy cms staging 1.10"), 2);
    assert_eq!(workspace.pipelines.runs().len(), 4);
    let lines = workspace.store.all_lines();
    assert!(lines.iter().any(|line| line.command == "hook build again" && line.caller.id == "alice"), "{lines:?}");
    // A request expires.
    open.say("alice", "ops", "!hook build again").await?;
    workspace.at("2026-11-20T08:10:02Z")?;
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.close().await?;
    // The redelivery is deduplicated over a restart.
    let open = workspace.open(CONFIG, None).await?;
    assert_eq!(deliver(&open, "build", again()).await, Ok(Delivered::Duplicate));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_key_in_the_body_starts_the_command_again_after_its_window() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    let alert = |since: &str| {
        format!(r#"{{"version": "1.0", "groupKey": "{{}}:{{app=\"cms\"}}", "alerts": [{{"startsAt": "{since}"}}]}}"#)
    };
    let (first, second) = (alert("2026-11-20T07:59:00Z"), alert("2026-11-20T08:20:00Z"));
    for (time, text, expected) in [
        ("2026-11-20T08:00:00Z", &first, Delivered::Accepted),
        // Alertmanager repeats a notification while the alert fires.
        ("2026-11-20T08:05:00Z", &first, Delivered::Duplicate),
        ("2026-11-20T08:59:59Z", &first, Delivered::Duplicate),
        ("2026-11-20T09:00:00Z", &first, Delivered::Accepted),
        ("2026-11-20T09:30:00Z", &first, Delivered::Duplicate),
        // The same alert fires again.
        ("2026-11-20T09:31:00Z", &second, Delivered::Accepted),
        ("2026-11-20T09:32:00Z", &second, Delivered::Duplicate),
        ("2026-11-20T10:00:00Z", &first, Delivered::Accepted),
    ] {
        workspace.at(time)?;
        assert_eq!(deliver(&open, "alerts", Delivery::new(text)).await, Ok(expected), "{time}");
        open.settle().await?;
    }
    assert_eq!(workspace.pipelines.runs().len(), 4);
    let missing = deliver(&open, "alerts", Delivery::new(r#"{"version": "1.0", "groupKey": "x"}"#)).await;
    let why = "the value at `/alerts/0/startsAt` in the body must contain the delivery's id: 1 to 16384 characters";
    assert_eq!(missing, Err(DeliveryError::Invalid(why.to_owned())));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn each_delivery_starts_the_command_where_the_hook_says_so() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    workspace.at("2026-11-20T08:00:00Z")?;
    let open = workspace.open(CONFIG, None).await?;
    for _ in 0..3 {
        // The same body at the same moment.
        assert_eq!(deliver(&open, "each", Delivery::new(r#"{"version": "1e3"}"#)).await, Ok(Delivered::Accepted));
        // A second deployment at the same time would be refused, because the first one holds the lock.
        open.settle().await?;
    }
    assert_eq!(count(&workspace, "ci (hook each): deploy cms staging 1e3"), 3);
    assert_eq!(workspace.pipelines.runs().len(), 3);
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_number_reaches_the_pipeline_as_it_was_written() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    for number in ["1.10", "12345678901234567890", "1e3"] {
        let text = format!(r#"{{"version": {number}}}"#);
        assert_eq!(deliver(&open, "each", Delivery::new(&text)).await, Ok(Delivered::Accepted));
        open.settle().await?;
        let job = workspace.store.jobs(&Default::default()).await?.into_iter().next().context("a job")?;
        assert_eq!(job.line, format!("deploy cms staging {number}"));
        assert_eq!(count(&workspace, &format!("cms: deployed version {number} to staging")), 1);
    }
    open.close().await
}
