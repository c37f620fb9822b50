//! The bot in real Matrix rooms: a real Synapse, the real host, and people with another client.
//!
//! Invariant: each story has its own bot, people and room, so stories run side by side. That something did
//! *not* happen is shown by a later command whose answer is there.
//! Not here: what commands answer in detail, which the console's stories show.

mod approvals;
mod encrypted;
mod forged;
mod lost;
mod rooms;
pub(crate) mod scene;
mod storm;

use std::time::{Duration, Instant};

use anyhow::Result;
use futures_util::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh},
    synapse::{Limits, Synapse},
    wire::{Held, Wire},
};

use scene::{Scene, body, is_reaction, replaces, thread_of};

const DEPLOY: &str = "!deploy cms staging 1.0.2";
const DEPLOYED: &str = "Content Management System: deployed version 1.0.2 to staging in";

#[tokio::test(flavor = "multi_thread")]
async fn a_command_is_seen_done_and_told() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    let alice = &scene.alice;
    let begun = Instant::now();
    let command = alice.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "👀").await?;
    // The promise is one second; this machine may be building something else meanwhile.
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());

    let closing = scene.answer(&command, DEPLOYED).await?;
    scene.reaction(&command, "✅").await?;
    let card = scene.answer(&command, "] deploy cms staging 1.0.2: ").await?;
    assert_ne!(card["event_id"], closing["event_id"], "the card is a message of its own");
    let card_id = card["event_id"].as_str().unwrap_or_default().to_owned();
    let edit = alice
        .wait(&scene.room, "edit of the card", |event| replaces(event, &card_id) && body(event).contains("succeeded"))
        .await?;
    assert_eq!(edit["sender"], scene.bot);

    for event in scene.said_by_bot().await? {
        let content = &event["content"];
        assert_eq!(content["msgtype"], "m.notice", "{event}");
        assert_eq!(content["format"], "org.matrix.custom.html", "{event}");
        assert_eq!(content["m.mentions"], json!({}), "{event}");
        assert!(content["com.wardroom.key"].is_string(), "{event}");
        assert!(replaces(&event, &card_id) || thread_of(&event) == Some(&command), "{event}");
    }
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_may_not_is_told_and_nothing_is_done() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let scene = Scene::open(synapse).await?;
    let mallory = MatrixUser::new(&synapse.url(), &fresh("mallory")).await?;
    mallory.join(&scene.room).await?;
    let command = mallory.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "⛔").await?;
    let answer = scene.answer(&command, "").await?;
    assert!(body(&answer).contains(&scene.alice.id), "it names who can help: {answer}");
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_while_the_bot_was_down_is_done_once() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    let before = scene.alice.say(&scene.room, "!where cms").await?;
    scene.answer(&before, "").await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    // More than one sync brings.
    for _ in 0..120 {
        scene.alice.say(&scene.room, "chatter").await?;
    }
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.host.kill();
    scene.host.start()?;
    scene.fence().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.answers(&before, "").await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_long_absence_hides_no_command() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.fence().await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let (alice, room) = (&scene.alice, &scene.room);
    let chatter =
        stream::iter(0..1_500).map(|number| async move { alice.say(room, &format!("chatter {number}")).await });
    chatter.buffer_unordered(10).try_for_each(|_| async { Ok(()) }).await?;
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.fence().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_reading_and_answering_loses_nothing() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let wire = Wire::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &wire.url()).await?;
    scene.fence().await?;

    // It reads, and not one of its answers leaves the machine.
    wire.hold(Held::Sends);
    let sent = wire.count();
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    wire.sends(sent).await?;
    scene.host.kill();
    assert_eq!(scene.answers(&question, "").await?, 0);
    wire.hold(Held::Nothing);
    scene.host.start()?;
    scene.answer(&question, "").await?;
    scene.fence().await?;
    assert_eq!(scene.answers(&question, "").await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_crash_between_answering_and_knowing_it_says_nothing_twice() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let wire = Wire::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &wire.url()).await?;
    scene.fence().await?;

    // Its answers arrive, and it is never told so.
    wire.hold(Held::Answers);
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    let bot = scene.bot.clone();
    let anything = |event: &Value| event["sender"] == bot && event.to_string().contains(&question);
    scene.alice.wait(&scene.room, "word of the bot", anything).await?;
    scene.host.kill();
    wire.hold(Held::Nothing);
    scene.host.start()?;
    scene.answer(&question, "").await?;
    scene.fence().await?;
    assert_eq!(scene.answers(&question, "").await?, 1);
    let events = scene.alice.events(&scene.room).await?;
    for emoji in ["👀", "✅"] {
        assert!(events.iter().filter(|event| is_reaction(event, &question, emoji)).count() <= 1, "{emoji}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_job_that_was_open_in_a_crash_goes_on() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.wait_for_a_run().await?;
    scene.host.kill();
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    scene.fence().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"], "the run was not started a second time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_homeserver_may_restart_at_any_time() -> Result<()> {
    let mut synapse = Synapse::start(Limits::None).await?;
    let scene = Scene::open(&synapse).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.reaction(&command, "👀").await?;
    synapse.stop();
    scene.host.wait_for_a_run().await?;
    synapse.resume().await?;
    scene.answer(&command, DEPLOYED).await?;
    scene.fence().await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_homeserver_may_be_away_when_the_bot_starts() -> Result<()> {
    let mut synapse = Synapse::start(Limits::None).await?;
    let mut scene = Scene::open(&synapse).await?;
    scene.fence().await?;
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
async fn rate_limits_are_waited_out() -> Result<()> {
    let synapse = Synapse::start(Limits::Default).await?;
    let scene = Scene::open(&synapse).await?;
    let mut questions = Vec::new();
    for _ in 0..7 {
        questions.push(scene.alice.say(&scene.room, "!where cms").await?);
    }
    // Ten at once and one in five seconds after that is less than seven answers and what belongs to them.
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
async fn only_a_persons_own_new_words_are_commands() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    let alice = &scene.alice;
    let fenced = alice.say(&scene.room, "hello").await?;
    let words = json!({ "msgtype": "m.text", "body": DEPLOY });
    let ignored = [
        json!({ "msgtype": "m.notice", "body": DEPLOY }),
        json!({ "msgtype": "m.text", "body": format!("* {DEPLOY}"), "m.new_content": words,
                "m.relates_to": { "rel_type": "m.replace", "event_id": fenced } }),
        json!({ "msgtype": "m.text", "body": format!("```\n{DEPLOY}\n```"), "format": "org.matrix.custom.html",
                "formatted_body": format!("<pre><code>{DEPLOY}\n</code></pre>") }),
        json!({ "msgtype": "m.text", "body": format!("> <{}> {DEPLOY}\n\nnot now", alice.id),
                "m.relates_to": { "m.in_reply_to": { "event_id": fenced } } }),
    ];
    for content in ignored {
        alice.send(&scene.room, "m.room.message", content).await?;
    }
    scene.fence().await?;
    assert!(scene.host.runs().is_empty());
    assert_eq!(scene.said_by_bot().await?.len(), 1, "the fence's answer and nothing else");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn what_was_said_before_the_bot_came_is_not_handled() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let old = std::sync::Mutex::new(String::new());
    let scene = Scene::open_with(synapse, &synapse.url(), async |alice, room| {
        *old.lock().expect("nobody panicked") = alice.say(room, DEPLOY).await?;
        Ok(())
    })
    .await?;
    let old = old.into_inner()?;
    scene.fence().await?;
    assert_eq!(scene.answers(&old, "").await?, 0);
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_the_homeserver_ended_is_replaced() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let scene = Scene::open(synapse).await?;
    scene.fence().await?;
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    account.logout_everywhere().await?;
    scene.host.wait_for_log("logging in again").await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_access_token_is_a_login_and_its_end_is_said() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    scene.fence().await?;
    scene.host.kill();
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    scene.host.use_token(account.token())?;
    scene.host.start()?;
    scene.fence().await?;
    account.logout_everywhere().await?;
    scene.host.wait_for_log("no longer knows the access token").await?;
    assert!(!scene.host.log().contains(account.token()));
    assert!(!scene.host.state_holds(account.token())?, "the operator's token is not written down a second time");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_connects_and_changes_nothing() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    scene.fence().await?;
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    let devices = account.devices().await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains(&format!("{} is logged in", scene.bot)) && said.contains("in the room #"), "{said}");
    // An admin whose id was mistyped is found before it matters.
    let nobody = format!("@nobody-{}", &scene.bot[1..]);
    scene.host.add_admin(&nobody)?;
    let (good, said) = scene.host.check_connect()?;
    assert!(!good && said.contains(&format!("the homeserver does not know `{nobody}`")), "{said}");
    assert_eq!(account.devices().await?, devices);
    // The running host was not disturbed.
    scene.fence().await?;
    scene.host.kill();
    scene.host.use_token("no such token")?;
    let (good, said) = scene.host.check_connect()?;
    assert!(!good && said.contains("does not know the access token"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn check_tells_whether_a_room_is_encrypted_and_the_account_has_keys() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.fence().await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains("has keys for encryption") && !said.contains("which is encrypted"), "{said}");
    let encryption = json!({ "algorithm": "m.megolm.v1.aes-sha2" });
    scene.alice.set_state(&scene.room, "m.room.encryption", encryption).await?;
    let (good, said) = scene.host.check_connect()?;
    assert!(good && said.contains(", which is encrypted"), "{said}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_session_is_for_its_owner_alone() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.fence().await?;
    assert_eq!(scene.host.mode("state/matrix/marvin")?, 0o700);
    assert_eq!(scene.host.mode("state/matrix/marvin/session.json")?, 0o600);
    Ok(())
}
