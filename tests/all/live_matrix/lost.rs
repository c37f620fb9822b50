//! A bot that loses its keys, its folder or its session, and how it comes back.
//!
//! Invariant: as in the stories beside this file. Nothing here ends in a loop: each story ends with an answer.

use std::fs;

use anyhow::Result;
use serde_json::Value;
use wardroom_tests::{matrix_user::MatrixUser, synapse::Synapse};

use super::{
    DEPLOY, DEPLOYED,
    encrypted::{Sealed, new_room},
    scene::{Scene, body},
};

const KEY: &str = "state/matrix/marvin/recovery-key";

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_store_is_recovered_with_the_recovery_key() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    sealed.fence().await?;
    let bot = sealed.scene.bot.clone();
    let key = fs::read_to_string(sealed.scene.host.path(KEY))?;
    assert_eq!(sealed.scene.host.mode(KEY)?, 0o600);
    assert!(sealed.scene.host.log().contains("recovery-key") && !sealed.scene.host.log().contains(key.trim()));
    let before = sealed.alice.verified_devices(&bot).await?;

    // Its keys are gone, and the homeserver still has its device.
    sealed.scene.host.kill();
    fs::remove_dir_all(sealed.scene.host.path("state/matrix/marvin/store"))?;
    let unread = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.scene.host.start()?;
    sealed.scene.host.wait_for_log("logging in as a new device").await?;
    sealed.scene.host.wait_for_log("restored the account's keys with the recovery key").await?;
    // The key of it is in the back-up, which does not prove who wrote it.
    sealed.answer(&unread, "Send it again").await?;
    assert!(sealed.scene.host.runs().is_empty());
    sealed.insist(DEPLOY, DEPLOYED).await?;
    let after = sealed.alice.verified_devices(&bot).await?;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");

    // All is gone but the key, which was put in a safe place. Who invited it to which room is gone, too.
    sealed.scene.host.kill();
    sealed.scene.host.use_rooms(&format!("{:?}", sealed.room))?;
    fs::write(sealed.scene.host.path("safe"), key)?;
    fs::remove_dir_all(sealed.scene.host.path("state/matrix/marvin"))?;
    sealed.scene.host.add_to_account("recovery_key = { file = \"safe\" }")?;
    sealed.scene.host.start()?;
    sealed.scene.host.wait_for_logs("restored the account's keys with the recovery key", 2).await?;
    sealed.insist("!where cms", "1.0.2").await?;
    assert!(!sealed.scene.host.path(KEY).exists(), "no second key was made");
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_a_recovery_key_it_says_what_to_do() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.fence().await?;
    scene.host.kill();
    fs::remove_dir_all(scene.host.path("state/matrix/marvin"))?;
    scene.host.start()?;
    scene
        .host
        .wait_for_log("hint: configure the account's recovery key as `recovery_key` of [bot.marvin.matrix]")
        .await?;
    // Rooms that are not encrypted do not suffer.
    scene.fence().await?;
    assert!(!scene.host.path(KEY).exists(), "no second key was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_replaced() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    sealed.fence().await?;
    sealed.scene.host.kill();
    let store = sealed.scene.host.path("state/matrix/marvin/store/matrix-sdk-crypto.sqlite3");
    fs::write(&store, [0x5a; 64 * 1024])?;
    // What was not yet written back would repair it.
    fs::remove_file(store.with_extension("sqlite3-wal"))?;
    sealed.scene.host.start()?;
    sealed.scene.host.wait_for_log("logging in as a new device").await?;
    sealed.insist(DEPLOY, DEPLOYED).await?;
    assert_eq!(sealed.scene.host.log().matches("logging in as a new device").count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_ended_hands_its_keys_on() -> Result<()> {
    let sealed = Sealed::open().await?;
    sealed.fence().await?;
    // The recovery key was moved and not configured: the keys in the store are all there is.
    fs::remove_file(sealed.scene.host.path(KEY))?;
    let url = Synapse::shared().await?.url();
    let account = MatrixUser::login(&url, &sealed.scene.bot, sealed.scene.host.password()).await?;
    account.logout_everywhere().await?;
    sealed.scene.host.wait_for_log("logging in again").await?;
    sealed.scene.host.wait_for_logs("logged in user=", 2).await?;
    sealed.insist(DEPLOY, DEPLOYED).await?;
    assert_eq!(sealed.alice.verified_devices(&sealed.scene.bot).await?.len(), 1, "{}", sealed.scene.host.log());
    assert!(!sealed.scene.host.path("state/matrix/marvin/store.old").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_whose_device_lost_its_keys_is_explained() -> Result<()> {
    let url = Synapse::shared().await?.url();
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.fence().await?;
    scene.host.kill();
    let account = MatrixUser::login(&url, &scene.bot, scene.host.password()).await?;
    let safe = scene.host.path("safe");
    fs::rename(scene.host.path(KEY), &safe)?;
    scene.host.add_to_account("recovery_key = { file = \"safe\" }")?;
    scene.host.use_token(account.token())?;
    scene.host.start()?;
    scene.fence().await?;
    let room = new_room(&scene, &[&scene.bot]).await?;
    let bot = scene.bot.clone();
    scene.host.kill();
    fs::remove_dir_all(scene.host.path("state/matrix/marvin"))?;
    scene.host.start()?;
    scene.host.wait_for_log("log in anew by hand, put the new access token in").await?;
    // It said so and stopped; nothing was sent in clear.
    let events = scene.alice.events(&room).await?;
    let said = |event: &&Value| event["sender"] == bot.as_str() && !body(event).is_empty();
    assert_eq!(events.iter().filter(said).count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_run_out_are_changed_and_kept() -> Result<()> {
    let synapse = Synapse::with("refreshable_access_token_lifetime: 3s\n").await?;
    let mut scene = Scene::open(&synapse).await?;
    scene.fence().await?;
    let session = || fs::read_to_string(scene.host.path("state/matrix/marvin/session.json"));
    let before = session()?;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    scene.fence().await?;
    assert_ne!(session()?, before, "the new tokens are on disk");
    scene.host.kill();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    scene.host.start()?;
    scene.fence().await?;
    assert_eq!(scene.host.log().matches("logged in user=").count(), 1, "the same session all the time");
    Ok(())
}
