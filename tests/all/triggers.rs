//! Tests commands that nobody types: `[[listen]]` patterns, schedules, hooks and messages of other machines.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wardroom::{
    engine::{Delivered, DeliveryError, Engine},
    store::{Store as _, Write},
    trigger::{Delivery, Hook},
};

use crate::test_workspace::{TestWorkspace, message};

const CONFIG: &str = r##"
[bot.marvin.memory]
rooms = ["ops", "lobby"]

[people]
admins = ["alice"]

[machine.ci]
ids = ["ci-bot"]

[role.visitor]
members      = ["everyone"]
commands     = ["where"]
apps         = ["*"]
environments = ["*"]

[role.ci]
members      = ["ci", "bob"]
commands     = ["deploy", "where"]
apps         = ["cms"]
environments = ["staging"]

[environment.staging]
[environment.production]
approval = { count = 1, from = "ci", within = "5m" }

[app.cms.deploy.staging]
memory     = true
parameters = { version = "[0-9.]+" }
[app.cms.deploy.production]
memory     = true
parameters = { version = "[0-9.]+" }

[plugin.deploy]
module = "{guests}/deploy.wasm"
[[plugin.deploy.allow]]
call        = "pipelines.trigger"
environment = ["staging", "production"]
[[plugin.deploy.allow]]
call = ["pipelines.wait", "catalog.*"]

[[listen]]
pattern = "(?i)is (?P<app>\\S+) up"
command = "where {app}"
rooms   = ["ops"]

[http]
listen = "127.0.0.1:0"

[[hook]]
name    = "build"
command = "deploy cms staging {version}"
as      = "ci"
room    = "ops"
token   = { env = "HOOK_TOKEN" }
capture = { version = "/version" }

[[hook]]
name    = "ship"
command = "deploy cms production {version}"
as      = "ci"
room    = "ops"
token   = { env = "HOOK_TOKEN" }
capture = { version = "/version" }
when    = { "/result" = ["good", "fine"] }
"##;

const SCHEDULE: &str = r#"
[[schedule]]
name      = "morning"
cron      = "0 9 * * *"
time_zone = "Europe/Berlin"
command   = "deploy cms staging 1.0.0"
as        = "ci"
room      = "ops"
"#;

/// Delivers a body with an idempotency key.
async fn deliver(engine: &Engine, hook: &Hook, id: &str, body: &Value) -> Result<Delivered, DeliveryError> {
    let text = body.to_string();
    engine.deliver(hook, &Delivery::new(&text).with_header("Idempotency-Key", id)).await
}

/// Returns the number of announcements of the schedule in the room.
fn announced(workspace: &TestWorkspace, by: &str) -> usize {
    let line = format!("ops: ci ({by}): ");
    workspace.said("marvin").iter().filter(|said| said.starts_with(&line)).count()
}

fn has(workspace: &TestWorkspace, words: &str) -> bool {
    workspace.said("marvin").iter().any(|said| said.contains(words))
}

#[tokio::test(flavor = "multi_thread")]
async fn only_captures_of_a_listened_message_are_stored() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    open.say("dave", "ops", "hm, is cms up? my pin is 4711").await?;
    assert!(has(&workspace, "ops: | cms\n|   staging: nothing yet"), "{:?}", workspace.said("marvin"));
    let said = workspace.said("marvin").len();
    open.say("dave", "lobby", "is cms up?").await?;
    open.say("dave", "ops", "is nothing up?").await?;
    open.say("dave", "ops", "is --help up?").await?;
    assert_eq!(workspace.said("marvin").len(), said, "it is silent: {:?}", workspace.said("marvin"));
    let lines = workspace.store.all_lines();
    assert!(lines.iter().all(|line| !line.command.contains("4711")) && lines[0].command == "where cms", "{lines:?}");
    // A person may post many messages.
    for _ in 0..40 {
        open.say("dave", "ops", "is cms up?").await?;
    }
    assert!(workspace.said("marvin").len() < said + 20, "{}", workspace.said("marvin").len());
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_deduplicated_and_announced_in_its_room() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    let hook = open.engine.hook("build").context("it is configured")?;
    let body = json!({ "version": "1.0.3" });
    assert_eq!(deliver(&open.engine, hook, "one", &body).await, Ok(Delivered::Accepted));
    assert_eq!(deliver(&open.engine, hook, "one", &json!({ "version": "6.6.6" })).await, Ok(Delivered::Duplicate));
    open.settle().await?;
    assert_eq!(announced(&workspace, "hook build"), 1);
    assert!(has(&workspace, "ops: ci (hook build): deploy cms staging 1.0.3"), "{:?}", workspace.said("marvin"));
    assert!(has(&workspace, "ops: | cms: deployed version 1.0.3 to staging"), "{:?}", workspace.said("marvin"));
    assert_eq!(workspace.pipelines.runs().len(), 1);
    let job = workspace.store.jobs(&Default::default()).await?.pop().context("a job")?;
    assert_eq!((job.caller.id.as_str(), job.line.as_str()), ("machine:ci", "deploy cms staging 1.0.3"));
    assert!(job.thread.is_some(), "the job's messages are in the thread of its announcement");
    for (body, wrong) in [
        (
            json!({ "version": ["1"] }),
            "the value at `/version` in the body is an array; the command needs a string or a number there",
        ),
        (json!({}), "the value at `/version` in the body is missing; the command needs a string or a number there"),
        (
            json!({ "version": true }),
            "the value at `/version` in the body is a boolean; the command needs a string or a number there",
        ),
        (
            json!({ "version": "1\n2" }),
            "the value at `/version` in the body is empty, has more than 256 characters, or contains invisible characters",
        ),
    ] {
        assert_eq!(deliver(&open.engine, hook, "two", &body).await, Err(DeliveryError::Invalid(wrong.to_owned())));
    }
    // The captured text is one argument, and not a version.
    let body = json!({ "version": "1.0.4 --wait" });
    assert_eq!(deliver(&open.engine, hook, "three", &body).await, Ok(Delivered::Accepted));
    open.settle().await?;
    assert!(has(&workspace, "`1.0.4 --wait` is not a valid version") || workspace.pipelines.runs().len() == 2);
    open.close().await?;
    // The delivery is deduplicated over a restart.
    let open = workspace.open(CONFIG, None).await?;
    let hook = open.engine.hook("build").context("it is configured")?;
    assert_eq!(deliver(&open.engine, hook, "one", &json!({ "version": "1.0.3" })).await, Ok(Delivered::Duplicate));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stored_delivery_is_refused_at_the_next_start_if_it_is_older_than_max_age() -> Result<()> {
    for (now, runs) in [("2026-11-20T08:10:00Z", 1), ("2026-11-25T08:00:00Z", 0)] {
        let workspace = TestWorkspace::new()?;
        workspace.at("2026-11-20T08:00:00Z")?;
        let open = workspace.open(CONFIG, None).await?;
        let engine = open.engine.clone();
        let hook = engine.hook("build").context("it is configured")?;
        open.close().await?;
        // The engine has stopped: it stores the delivery and does not handle it, as in a crash.
        assert_eq!(deliver(&engine, hook, "one", &json!({ "version": "1.0.3" })).await, Ok(Delivered::Accepted));
        assert_eq!(workspace.store.unhandled().await?.len(), 1);
        workspace.at(now)?;
        let open = workspace.open(CONFIG, None).await?;
        until_handled(&workspace).await?;
        open.settle().await?;
        let said = workspace.said("marvin");
        let refusal = "ops: Nothing was done: the command of hook build is 120 h old, because the host was unavailable. \
                       If it is still needed, type `!deploy cms staging 1.0.3`.";
        assert_eq!(workspace.pipelines.runs().len(), runs, "{now}: {said:?}");
        assert_eq!(said.iter().filter(|said| *said == refusal).count(), 1 - runs, "{now}: {said:?}");
        assert_eq!(announced(&workspace, "hook build"), 1, "{now}: {said:?}");
        let hook = open.engine.hook("build").context("it is configured")?;
        let again = deliver(&open.engine, hook, "one", &json!({ "version": "1.0.3" })).await;
        assert_eq!(again, Ok(Delivered::Duplicate));
        open.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_old_stored_command_of_a_schedule_runs_only_if_its_latest_missed_time_always_runs() -> Result<()> {
    for (missed, runs) in [("skip", 0), ("last", 1)] {
        let config = format!("{CONFIG}{SCHEDULE}missed = \"{missed}\"\n");
        let workspace = TestWorkspace::new()?;
        workspace.at("2026-11-20T08:30:00Z")?;
        let open = workspace.open(&config, None).await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        let engine = open.engine.clone();
        let hook = engine.hook("build").context("it is configured")?;
        open.close().await?;
        // Store a command and its announcement, and make them those of the schedule.
        assert_eq!(deliver(&engine, hook, "one", &json!({ "version": "1.0.3" })).await, Ok(Delivered::Accepted));
        let row = workspace.store.unhandled().await?.pop().context("a stored command")?;
        let mut announcement = workspace.store.outbox().await?.pop().context("its announcement")?.row;
        let mut stored = row.clone();
        stored.key.event = "schedule/morning/1795334400".to_owned();
        stored.started.as_mut().context("a trigger")?.by = "schedule morning".to_owned();
        announcement.key = announcement.key.replace(&row.key.event, &stored.key.event);
        let writes = vec![Write::Handled(row.key), Write::Receive(stored), Write::Send(announcement)];
        workspace.store.commit(writes).await?;
        // The host starts again after more than `max_age`, and before the next time of the schedule.
        workspace.at("2026-11-20T10:00:00Z")?;
        let open = workspace.open(&config, None).await?;
        until_handled(&workspace).await?;
        open.settle().await?;
        let said = workspace.said("marvin");
        assert_eq!(workspace.pipelines.runs().len(), runs, "{missed}: {said:?}");
        let refused = has(&workspace, "ops: Nothing was done: the command of schedule morning is 1 h 30 min old");
        assert_eq!(refused, runs == 0, "{missed}: {said:?}");
        open.close().await?;
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_machine_has_only_its_roles_and_cannot_approve() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    let hook = open.engine.hook("ship").context("it is configured")?;
    let left = deliver(&open.engine, hook, "one", &json!({ "version": "1.0.3", "result": "bad" })).await;
    assert_eq!(left, Ok(Delivered::Ignored("the value at `/result` in the body is not `good` or `fine`".to_owned())));
    let taken = deliver(&open.engine, hook, "two", &json!({ "version": "1.0.3", "result": "fine" })).await;
    assert_eq!(taken, Ok(Delivered::Accepted));
    open.settle().await?;
    assert!(has(&workspace, "you may not run `deploy` on app `cms` and environment `production`"));
    // The host ignores messages of an unlisted bot, and handles those of a listed one.
    let machine = |person: &'static str, words: &'static str| {
        move |event: String| {
            let mut message = message(event, person, words);
            message.machine = true;
            message
        }
    };
    let said = workspace.said("marvin").len();
    open.receive("ops", machine("other-bot", "!where cms")).await?;
    open.receive("ops", machine("other-bot", "is cms up")).await?;
    assert_eq!(workspace.said("marvin").len(), said);
    open.receive("ops", machine("ci-bot", "!deploy cms staging 1.0.5")).await?;
    assert!(has(&workspace, "cms: deployed version 1.0.5 to staging"), "{:?}", workspace.said("marvin"));
    // A machine does not have the rights of `everyone`, and cannot approve.
    open.say("alice", "ops", "!deploy cms production 1.0.5").await?;
    open.receive("ops", machine("ci-bot", "!approve")).await?;
    assert_eq!(workspace.pipelines.runs().len(), 1, "{:?}", workspace.said("marvin"));
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unproven_device_can_query_but_not_act() -> Result<()> {
    let workspace = TestWorkspace::new()?;
    let open = workspace.open(CONFIG, None).await?;
    let unproven = |words: &'static str| {
        move |event: String| {
            let mut message = message(event, "bob", words);
            message.unproven = Some("your device is not verified".to_owned());
            message
        }
    };
    open.receive("ops", unproven("!where cms")).await?;
    assert!(has(&workspace, "staging: nothing yet"));
    for words in ["!deploy cms staging 1.0.0", "!freeze production", "!cancel 7f3ak", "!approve"] {
        open.receive("ops", unproven(words)).await?;
    }
    let refused = "This message cannot start an action. your device is not verified";
    let count = workspace.said("marvin").iter().filter(|said| said.contains(refused)).count();
    assert_eq!(count, 4, "{:?}", workspace.said("marvin"));
    open.receive("ops", unproven("!deploy cms staging 1.0.0 --dry-run")).await?;
    assert!(has(&workspace, "Nothing was changed."));
    assert!(workspace.pipelines.runs().is_empty());
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_schedule_runs_once_at_each_of_its_times() -> Result<()> {
    let config = format!("{CONFIG}{SCHEDULE}");
    let workspace = TestWorkspace::new()?;
    workspace.at("2026-11-20T07:59:00Z")?;
    let open = workspace.open(&config, None).await?;
    tokio::time::sleep(std::time::Duration::from_millis(1_500)).await;
    assert_eq!(announced(&workspace, "schedule morning"), 0, "its time has not come");
    workspace.at("2026-11-20T08:00:01Z")?;
    wait_for(&workspace, 1).await;
    open.settle().await?;
    // Setting the clock back and forth starts nothing.
    for time in ["2026-11-20T07:58:00Z", "2026-11-20T08:00:02Z", "2026-11-19T08:00:02Z", "2026-11-20T08:10:00Z"] {
        workspace.at(time)?;
        tokio::time::sleep(std::time::Duration::from_millis(1_200)).await;
    }
    open.settle().await?;
    assert_eq!((announced(&workspace, "schedule morning"), workspace.pipelines.runs().len()), (1, 1));
    open.close().await?;
    // A restart does not repeat a time, and runs a time that was missed a moment ago.
    workspace.at("2026-11-21T08:05:00Z")?;
    let open = workspace.open(&config, None).await?;
    wait_for(&workspace, 2).await;
    open.settle().await?;
    assert_eq!(workspace.pipelines.runs().len(), 2);
    open.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn missed_schedule_times_are_skipped_or_the_last_one_runs() -> Result<()> {
    for (missed, times) in [("skip", 0), ("last", 1)] {
        let config = format!("{CONFIG}{SCHEDULE}missed = \"{missed}\"\n");
        let workspace = TestWorkspace::new()?;
        workspace.at("2026-11-20T09:00:00Z")?;
        let open = workspace.open(&config, None).await?;
        tokio::time::sleep(std::time::Duration::from_millis(500)).await;
        open.close().await?;
        workspace.at("2026-11-25T12:00:00Z")?;
        let open = workspace.open(&config, None).await?;
        for _ in 0..100 {
            if has(&workspace, "The last one was due at") || has(&workspace, "missed runs before that time") {
                break;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        open.settle().await?;
        assert_eq!(workspace.pipelines.runs().len(), times, "{missed}: {:?}", workspace.said("marvin"));
        let printed = match missed {
            "skip" => {
                "Schedule `morning` skipped 5 missed runs, because the host or the room was unavailable. The last one was \
                 due at 2026-11-25 08:00 UTC."
            }
            _ => {
                "The command was due at 2026-11-25 08:00 UTC, when the host or the room was unavailable. The schedule \
                 skipped 4 missed runs before that time."
            }
        };
        assert!(has(&workspace, printed), "{missed}: {:?}", workspace.said("marvin"));
        open.close().await?;
    }
    Ok(())
}

/// Waits until the host has handled all stored commands.
async fn until_handled(workspace: &TestWorkspace) -> Result<()> {
    for _ in 0..300 {
        if workspace.store.unhandled().await?.is_empty() {
            return Ok(());
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    anyhow::bail!("a stored command is not handled: {:?}", workspace.said("marvin"))
}

async fn wait_for(workspace: &TestWorkspace, times: usize) {
    for _ in 0..100 {
        if announced(workspace, "schedule morning") == times {
            return;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    panic!("the schedule did not run {times} times: {:?}", workspace.said("marvin"));
}
