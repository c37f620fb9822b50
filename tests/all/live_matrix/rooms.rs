//! Tests the rooms that the bot handles, upgrades of rooms, and a room that the bot cannot read.
//!
//! Invariant: the same as in `live_matrix`.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh},
    proxy::{HttpProxy, Withheld},
    synapse::Synapse,
};

use super::{DEPLOY, DEPLOYED, scene::Scene};

#[tokio::test(flavor = "multi_thread")]
async fn only_an_admin_invites_the_bot() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    let mallory = MatrixUser::new(&synapse.url(), &fresh("mallory")).await?;
    let theirs = mallory.create_room(&[&scene.bot], json!([])).await?;
    scene.host.kill();
    let pending = scene.alice.create_room(&[&scene.bot], json!([])).await?;
    scene.host.start()?;
    scene.alice.wait_for_member(&pending, &scene.bot).await?;
    // A command needs no prefix in a room with only one person and the bot.
    let command = scene.alice.say(&pending, "deploy cms staging 1.0.2").await?;
    scene.answer_in(&pending, &command, DEPLOYED).await?;
    assert!(!mallory.members(&theirs).await?.contains(&scene.bot));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_was_joined_by_hand_is_ignored() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    let (theirs, _) = scene.alice.create_public_room().await?;
    let account = MatrixUser::login(&synapse.url(), &scene.bot, scene.host.password()).await?;
    account.join(&theirs).await?;
    scene.alice.say(&theirs, DEPLOY).await?;
    scene.host.wait_for_log(&format!("add \"{theirs}\" to `rooms` of [bot.marvin.matrix]")).await?;
    scene.alice.say(&theirs, DEPLOY).await?;
    scene.barrier().await?;
    scene.host.kill();
    scene.alice.say(&theirs, DEPLOY).await?;
    scene.host.start()?;
    scene.barrier().await?;
    assert_eq!(scene.words_in(&theirs).await?, 0);
    assert!(scene.host.runs().is_empty());

    // Follow the hint in the log: the bot leaves, and joins again when an admin invites it.
    account.leave(&theirs).await?;
    scene.alice.invite(&theirs, &scene.bot).await?;
    scene.alice.wait_for_member(&theirs, &scene.bot).await?;
    let command = scene.alice.say(&theirs, DEPLOY).await?;
    scene.answer_in(&theirs, &command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_that_was_removed_from_the_configuration_is_ignored() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    let chat = scene.alice.create_room(&[&scene.bot], json!([])).await?;
    scene.alice.wait_for_member(&chat, &scene.bot).await?;
    scene.host.kill();
    scene.host.use_rooms("")?;
    let while_down = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.start()?;
    scene.host.wait_for_log("ignoring a room").await?;
    let live = scene.alice.say(&scene.room, DEPLOY).await?;
    // A direct chat that an admin opened continues to work, even after restarts.
    let question = scene.alice.say(&chat, "whoami").await?;
    scene.answer_in(&chat, &question, "").await?;

    scene.host.kill();
    scene.host.use_rooms(&format!("{:?}", scene.room))?;
    scene.host.start()?;
    scene.barrier().await?;
    for command in [&while_down, &live] {
        assert_eq!(scene.answers(command, "").await?, 0, "what was said meanwhile is not handled later either");
    }
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_backfill_loses_no_command() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &proxy.url()).await?;
    scene.barrier().await?;
    scene.host.kill();
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    // Send more messages than one sync returns.
    for _ in 0..120 {
        scene.alice.say(&scene.room, "chatter").await?;
    }
    proxy.withhold(Withheld::History);
    scene.host.start()?;
    scene.host.wait_for_log("cannot backfill the room").await?;
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    // Wait long enough for a sync.
    tokio::time::sleep(Duration::from_secs(2)).await;
    assert_eq!(scene.answers(&question, "").await?, 0, "nothing newer is handled before what is missing");
    assert_eq!(scene.host.log().matches("cannot backfill the room").count(), 1, "reported once");
    proxy.withhold(Withheld::Nothing);
    scene.answer(&command, DEPLOYED).await?;
    scene.answer(&question, "").await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_room_with_unknown_encryption_is_not_handled() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let scene = Scene::open_at(synapse, &proxy.url()).await?;
    scene.barrier().await?;
    proxy.withhold(Withheld::Encryption);
    let chat = scene.alice.create_room(&[&scene.bot], json!([])).await?;
    scene.alice.wait_for_member(&chat, &scene.bot).await?;
    let command = scene.alice.say(&chat, DEPLOY).await?;
    scene.host.wait_for_log("cannot backfill the room").await?;
    // The bot still handles the other rooms.
    scene.barrier().await?;
    assert_eq!(scene.words_in(&chat).await?, 0);
    proxy.withhold(Withheld::Nothing);
    scene.answer_in(&chat, &command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_follows_a_room_upgrade() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.kill();
    // Configure the room by its id, which does not change to the new room as an alias does.
    scene.host.use_rooms(&format!("{:?}", scene.room))?;
    scene.host.start()?;
    scene.barrier().await?;
    let next = scene.alice.upgrade(&scene.room).await?;
    scene.alice.wait_for_member(&next, &scene.bot).await?;
    let command = scene.alice.say(&next, DEPLOY).await?;
    scene.answer_in(&next, &command, DEPLOYED).await?;

    // Test again after a restart, with a second upgrade.
    scene.host.kill();
    let last = scene.alice.upgrade(&next).await?;
    scene.host.start()?;
    scene.alice.wait_for_member(&last, &scene.bot).await?;
    let question = scene.alice.say(&last, "!where cms").await?;
    scene.answer_in(&last, &question, "").await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_does_not_follow_to_a_room_without_the_old_one_as_predecessor() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    let (elsewhere, _) = scene.alice.create_public_room().await?;
    let closed = json!({ "body": "on we go", "replacement_room": elsewhere });
    scene.alice.set_state(&scene.room, "m.room.tombstone", closed).await?;
    scene.host.wait_for_log("does not name the room as its predecessor").await?;
    let command = scene.alice.say(&elsewhere, DEPLOY).await?;
    // The old room is unchanged.
    scene.barrier().await?;
    assert!(!scene.alice.members(&elsewhere).await?.contains(&scene.bot));
    assert!(scene.answers(&command, "").await? == 0 && scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_closing_line_goes_to_the_upgraded_room() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.set_duration(5)?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.wait_for_a_run().await?;
    // After the upgrade, only the owner can post in the old room.
    let next = scene.alice.upgrade(&scene.room).await?;
    let is_closing = |event: &serde_json::Value| {
        event["sender"] == scene.bot.as_str() && super::scene::body(event).contains(DEPLOYED)
    };
    scene.alice.wait(&next, "closing line", is_closing).await?;
    assert_eq!(scene.answers(&command, DEPLOYED).await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bot_continues_after_it_leaves_and_rejoins_a_room() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    for down in [false, true] {
        let chat = scene.alice.create_room(&[&scene.bot], json!([])).await?;
        scene.alice.wait_for_member(&chat, &scene.bot).await?;
        let question = scene.alice.say(&chat, "whoami").await?;
        scene.answer_in(&chat, &question, "").await?;
        if down {
            scene.host.kill();
        }
        scene.alice.kick(&chat, &scene.bot).await?;
        scene.alice.say(&chat, DEPLOY).await?;
        if down {
            scene.host.start()?;
        }
        // The other rooms are not affected.
        scene.barrier().await?;
        scene.alice.invite(&chat, &scene.bot).await?;
        scene.alice.wait_for_member(&chat, &scene.bot).await?;
        let question = scene.alice.say(&chat, "whoami").await?;
        scene.answer_in(&chat, &question, "").await?;
    }
    assert!(scene.host.runs().is_empty(), "commands from before the bot's join are not run");
    Ok(())
}
