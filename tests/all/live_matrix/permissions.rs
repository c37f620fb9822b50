//! Tests of rooms in which the bot may not write: by a power level, and after it was removed.
//!
//! Invariant: the same as in `live_matrix`.

use anyhow::Result;
use serde_json::{Value, json};
use wardroom_tests::synapse::Synapse;

use super::{
    DEPLOY, DEPLOYED,
    scene::{Scene, body, thread_of},
};

/// Sets the power level that messages need. Alice, who created the room, may always write; the bot has the level 0.
async fn set_needed_level(scene: &Scene, level: u32) -> Result<()> {
    let levels = json!({ "users": {}, "events_default": level, "events": { "m.reaction": 0 } });
    scene.alice.set_state(&scene.room, "m.room.power_levels", levels).await
}

/// Returns the bot's messages in the thread of a command that contain `words`.
async fn said(scene: &Scene, command: &str, words: &str) -> Result<Vec<Value>> {
    let all = scene.said_by_bot().await?;
    Ok(all.into_iter().filter(|event| thread_of(event) == Some(command) && body(event).contains(words)).collect())
}

#[tokio::test(flavor = "multi_thread")]
async fn the_closing_line_waits_for_the_power_level_over_a_restart_and_is_sent_once() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.set_duration(3)?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.wait_for_a_run().await?;
    set_needed_level(&scene, 50).await?;
    scene.host.wait_for_log("its messages wait, and no action starts from the room").await?;
    scene.host.wait_for_end("succeeded").await?;
    let (passes, found) = scene.host.check_connect()?;
    assert!(!passes && found.contains("the power level of the bot is 0, and messages need 50"), "{found}");
    scene.host.kill();
    scene.host.start()?;
    scene.host.wait_for_logs("its messages wait, and no action starts from the room", 2).await?;
    let other = scene.alice.say(&scene.room, "!deploy cms staging 9.9.9").await?;
    scene.host.wait_for_log("an action was refused, because the bot may not send to its room").await?;
    assert!(said(&scene, &command, DEPLOYED).await?.is_empty());
    set_needed_level(&scene, 0).await?;
    scene.answer(&command, DEPLOYED).await?;
    scene.answer(&other, "could not send its result to this room").await?;
    scene.barrier().await?;
    assert_eq!(said(&scene, &command, DEPLOYED).await?.len(), 1);
    assert_eq!(said(&scene, &other, "could not send").await?.len(), 1);
    assert_eq!(scene.host.runs(), ["1.0.2"], "the refused command did nothing");
    let (passes, found) = scene.host.check_connect()?;
    assert!(passes, "{found}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn messages_wait_until_a_removed_bot_is_invited_again() -> Result<()> {
    let scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.set_duration(3)?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.host.wait_for_a_run().await?;
    scene.alice.kick(&scene.room, &scene.bot).await?;
    scene.host.wait_for_log("the bot is not in the room").await?;
    scene.host.wait_for_end("succeeded").await?;
    scene.alice.invite(&scene.room, &scene.bot).await?;
    scene.answer(&command, DEPLOYED).await?;
    scene.barrier().await?;
    assert_eq!(said(&scene, &command, DEPLOYED).await?.len(), 1);
    Ok(())
}
