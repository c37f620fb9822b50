//! Tests the bot in real Matrix rooms: a real Synapse, the real host, and people with another client.
//!
//! Invariant: each test has its own bot, people and room, so tests run in parallel. A test proves that something did
//! *not* happen by waiting for the answer to a later command.
//! Not here: the texts of answers (`stories`).

mod approvals;
mod encrypted;
mod forged;
mod lost;
mod permissions;
mod rooms;
pub(crate) mod scene;
mod storm;

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh},
    proxy::{HttpProxy, Withheld},
    synapse::{Limits, Synapse},
};

use scene::{Scene, body, is_reaction, thread_of};

const DEPLOY: &str = "!deploy cms staging 1.0.2";
const DEPLOYED: &str = "Content Management System: deployed version 1.0.2 to staging in";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_gets_a_reaction_and_a_closing_line() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    let alice = &scene.alice;
    let begun = Instant::now();
    let command = alice.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "👀").await?;
    // The host promises one second. The test allows more, because the machine may be busy.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let closing = scene.answer(&command, DEPLOYED).await?;
    scene.reaction(&command, "✅").await?;
    assert_eq!(closing["sender"], scene.bot);

    for event in scene.said_by_bot().await? {
        let content = &event["content"];
        assert_eq!(content["msgtype"], "m.notice", "{event}");
        // An edit has its text in the new content only.
        let shown = content.get("m.new_content").unwrap_or(content);
        assert_eq!(shown["format"], "org.matrix.custom.html", "{event}");
        assert_eq!(content["m.mentions"], json!({}), "{event}");
        assert!(content["com.wardroom.key"].is_string(), "{event}");
        assert_eq!(thread_of(&event), Some(command.as_str()), "{event}");
    }
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_the_right_is_refused_and_nothing_runs() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let scene = Scene::open(synapse).await?;
    let mallory = MatrixUser::new(&synapse.url(), &fresh("mallory")).await?;
    mallory.join(&scene.room).await?;
    let command = mallory.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "⛔").await?;
    let answer = scene.answer(&command, "").await?;
    assert!(body(&answer).contains(&scene.alice.id), "the answer names a person who can help: {answer}");
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn commands_from_downtime_run_once() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    let before = scene.alice.say(&scene.room, "!where cms").await?;
    scene.answer(&before, "").await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    // Send more messages than one sync returns.
    for _ in 0..120 {
        scene.alice.say(&scene.room, "chatter").await?;
    }
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.host.kill();
    scene.host.start()?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.answers(&before, "").await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn backfill_reads_every_command_after_a_long_absence() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let (alice, room) = (&scene.alice, &scene.room);
    let chatter =
        stream::iter(0..1_500).map(|number| async move { alice.say(room, &format!("chatter {number}")).await });
    chatter.buffer_unordered(10).try_for_each(|_| async { Ok(()) }).await?;
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_reading_and_answering_loses_no_command() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &proxy.url()).await?;
    scene.barrier().await?;

    // The bot reads, but none of its answers reaches the homeserver.
    proxy.withhold(Withheld::Sends);
    let sent = proxy.count();
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    proxy.sends(sent).await?;
    scene.host.kill();
    assert_eq!(scene.answers(&question, "").await?, 0);
    proxy.withhold(Withheld::Nothing);
    scene.host.start()?;
    scene.answer(&question, "").await?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&question, "").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_before_a_sent_answer_is_confirmed_does_not_repeat_it() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &proxy.url()).await?;
    scene.barrier().await?;

    // The bot's answers arrive, but the responses are withheld.
    proxy.withhold(Withheld::Answers);
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    let bot = scene.bot.clone();
    let anything = |event: &Value| event["sender"] == bot && event.to_string().contains(&question);
    scene.alice.wait(&scene.room, "word of the bot", anything).await?;
    scene.host.kill();
    proxy.withhold(Withheld::Nothing);
    scene.host.start()?;
    scene.answer(&question, "").await?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&question, "").await?, 1);
    let events = scene.alice.events(&scene.room).await?;
    for emoji in ["👀", "✅"] {
        assert!(events.iter().filter(|event| is_reaction(event, &question, emoji)).count() <= 1, "{emoji}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_open_job_resumes_after_a_crash() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.wait_for_a_run().await?;
    scene.host.kill();
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"], "the pipeline run was not started a second time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_survives_a_restart_of_the_homeserver() -> Result<()> {
    let mut synapse = Synapse::start(Limits::None).await?;
    let scene = Scene::open(&synapse).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "👀").await?;
    synapse.stop();
    scene.host.wait_for_a_run().await?;
    synapse.resume().await?;
    scene.answer(&command, DEPLOYED).await?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_starts_while_the_homeserver_is_down() -> Result<()> {
    let mut synapse = Synapse::start(Limits::None).await?;
    let mut scene = Scene::open(&synapse).await?;
    scene.barrier().await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    synapse.stop();
    scene.host.start()?;
    scene.host.wait_for_log("no connection to the homeserver").await?;
    synapse.resume().await?;
    scene.answer(&command, DEPLOYED).await?;
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rate_limited_bot_answers_every_command() -> Result<()> {
    let synapse = Synapse::start(Limits::Default).await?;
    let scene = Scene::open(&synapse).await?;
    let mut questions = Vec::new();
    for _ in 0..7 {
        questions.push(scene.alice.say(&scene.room, "!where cms").await?);
    }
    // Seven answers with their reactions and cards exceed the limit of ten messages at once and one per five seconds.
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    for question in &questions {
        scene.answer(question, "").await?;
    }
    scene.answer(&command, DEPLOYED).await?;
    for question in &questions {
        assert_eq!(scene.answers(question, "").await?, 1);
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn notices_edits_code_blocks_and_quotes_are_no_commands() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    let alice = &scene.alice;
    let earlier = alice.say(&scene.room, "hello").await?;
    let words = json!({ "msgtype": "m.text", "body": DEPLOY });
    let ignored = [
        json!({ "msgtype": "m.notice", "body": DEPLOY }),
        json!({ "msgtype": "m.text", "body": format!("* {DEPLOY}"), "m.new_content": words,
                "m.relates_to": { "rel_type": "m.replace", "event_id": earlier } }),
        json!({ "msgtype": "m.text", "body": format!("```\n{DEPLOY}\n```"), "format": "org.matrix.custom.html",
                "formatted_body": format!("<pre><code>{DEPLOY}\n</code></pre>") }),
        json!({ "msgtype": "m.text", "body": format!("> <{}> {DEPLOY}\n\nnot now", alice.id),
                "m.relates_to": { "m.in_reply_to": { "event_id": earlier } } }),
    ];
    for content in ignored {
        alice.send(&scene.room, "m.room.message", content).await?;
    }
    scene.barrier().await?;
    assert!(scene.host.runs().is_empty());
    assert_eq!(scene.said_by_bot().await?.len(), 1, "the barrier's answer and nothing else");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_from_before_the_bot_joined_are_not_handled() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let old = std::sync::Mutex::new(String::new());
    let scene = Scene::open_with(synapse, &synapse.url(), async |alice, room| {
        *old.lock().expect("no holder panicked") = alice.say(room, DEPLOY).await?;
        Ok(())
    })
    .await?;
    let old = old.into_inner()?;
    scene.barrier().await?;
    assert_eq!(scene.answers(&old, "").await?, 0);
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_homeserver_revoked_is_replaced() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let scene = Scene::open(synapse).await?;
    scene.barrier().await?;
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    account.logout_everywhere().await?;
    scene.host.wait_for_log("logging in again").await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_access_token_is_reported_and_not_stored() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    scene.barrier().await?;
    scene.host.kill();
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    scene.host.use_token(account.token())?;
    scene.host.start()?;
    scene.barrier().await?;
    account.logout_everywhere().await?;
    scene.host.wait_for_log("no longer accepts the access token").await?;
    assert!(!scene.host.log().contains(account.token()));
    assert!(!scene.host.state_holds(account.token())?, "the operator's token is not copied to the state folder");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_connects_and_changes_nothing() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    scene.barrier().await?;
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    let devices = account.devices().await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains(&format!("{} is logged in", scene.bot)) && said.contains("in the room #"), "{said}");
    // An admin's mistyped id is reported by `check --connect`.
    let nobody = format!("@nobody-{}", &scene.bot[1..]);
    scene.host.add_admin(&nobody)?;
    let (good, said) = scene.host.check_connect()?;
    assert!(!good && said.contains(&format!("the homeserver has no account `{nobody}`")), "{said}");
    assert_eq!(account.devices().await?, devices);
    // The running host is not disturbed.
    scene.barrier().await?;
    scene.host.kill();
    scene.host.use_token("no such token")?;
    let (good, said) = scene.host.check_connect()?;
    assert!(!good && said.contains("does not accept the access token"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_reports_encryption_of_rooms_and_keys_of_the_account() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains("has encryption keys") && !said.contains("which is encrypted"), "{said}");
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    scene.alice.set_state(&scene.room, "m.room.encryption", encryption).await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains(", which is encrypted"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn session_files_are_readable_by_their_owner_only() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    assert_eq!(scene.host.mode("state/matrix/marvin")?, 0o700);
    assert_eq!(scene.host.mode("state/matrix/marvin/session.json")?, 0o600);
    Ok(())
}
