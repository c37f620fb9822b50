//! Tests the recovery of a bot that has lost its keys, its folder or its session.
//!
//! Invariant: the same as in `live_matrix`. No recovery loops: each test ends with an answer.

use std::fs;

use anyhow::Result;
use serde_json::Value;
use wardroom_tests::{matrix_user::MatrixUser, synapse::Synapse};

use super::{
    DEPLOY, DEPLOYED,
    encrypted::{EncryptedScene, new_room},
    scene::{Scene, body},
};

const KEY: &str = "state/matrix/marvin/recovery-key";

#[tokio::test(flavor = "multi_thread")]
async fn a_wiped_store_is_recovered_with_the_recovery_key() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    encrypted.barrier().await?;
    let bot = encrypted.scene.bot.clone();
    let key = fs::read_to_string(encrypted.scene.host.path(KEY))?;
    assert_eq!(encrypted.scene.host.mode(KEY)?, 0o600);
    assert!(encrypted.scene.host.log().contains("recovery-key") && !encrypted.scene.host.log().contains(key.trim()));
    let before = encrypted.alice.verified_devices(&bot).await?;

    // The bot's keys are deleted, but the homeserver still has its device.
    encrypted.scene.host.kill();
    fs::remove_dir_all(encrypted.scene.host.path("state/matrix/marvin/store"))?;
    let unread = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.scene.host.start()?;
    encrypted.scene.host.wait_for_log("logging in as a new device").await?;
    encrypted.scene.host.wait_for_log("restored the account's cross-signing keys with the recovery key").await?;
    // The message's key is in the backup, but a key from the backup does not prove the sender.
    encrypted.answer(&unread, "Send the message again").await?;
    assert!(encrypted.scene.host.runs().is_empty());
    encrypted.send_until_answered(DEPLOY, DEPLOYED).await?;
    let after = encrypted.alice.verified_devices(&bot).await?;
    assert!(after.len() == 1 && after != before, "{before:?} {after:?}");

    // All files except the recovery key are deleted, including the list of inviters.
    encrypted.scene.host.kill();
    encrypted.scene.host.use_rooms(&format!("{:?}", encrypted.room))?;
    fs::write(encrypted.scene.host.path("safe"), key)?;
    fs::remove_dir_all(encrypted.scene.host.path("state/matrix/marvin"))?;
    encrypted.scene.host.add_to_account("recovery_key = { file = \"safe\" }")?;
    encrypted.scene.host.start()?;
    encrypted.scene.host.wait_for_logs("restored the account's cross-signing keys with the recovery key", 2).await?;
    encrypted.send_until_answered("!where cms", "1.0.2").await?;
    assert!(!encrypted.scene.host.path(KEY).exists(), "no second key was made");
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_lost_store_without_a_recovery_key_is_reported_with_the_remedy() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.kill();
    fs::remove_dir_all(scene.host.path("state/matrix/marvin"))?;
    scene.host.start()?;
    scene
        .host
        .wait_for_log("hint: configure the account's recovery key as `recovery_key` of [bot.marvin.matrix]")
        .await?;
    // Rooms without encryption still work.
    scene.barrier().await?;
    assert!(!scene.host.path(KEY).exists(), "no second key was made");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_damaged_store_is_replaced() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    encrypted.barrier().await?;
    encrypted.scene.host.kill();
    let store = encrypted.scene.host.path("state/matrix/marvin/store/matrix-sdk-crypto.sqlite3");
    fs::write(&store, [0x5a; 64 * 1024])?;
    // Without the write-ahead log SQLite cannot repair the file.
    fs::remove_file(store.with_extension("sqlite3-wal"))?;
    encrypted.scene.host.start()?;
    encrypted.scene.host.wait_for_log("logging in as a new device").await?;
    encrypted.send_until_answered(DEPLOY, DEPLOYED).await?;
    assert_eq!(encrypted.scene.host.log().matches("logging in as a new device").count(), 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_revoked_session_keeps_its_keys() -> Result<()> {
    let encrypted = EncryptedScene::open().await?;
    encrypted.barrier().await?;
    // The recovery key is deleted, so only the store has the keys.
    fs::remove_file(encrypted.scene.host.path(KEY))?;
    let url = Synapse::shared().await?.url();
    let account = MatrixUser::login(&url, &encrypted.scene.bot, encrypted.scene.host.password()).await?;
    account.logout_everywhere().await?;
    encrypted.scene.host.wait_for_log("logging in again").await?;
    encrypted.scene.host.wait_for_logs("logged in user=", 2).await?;
    encrypted.send_until_answered(DEPLOY, DEPLOYED).await?;
    assert_eq!(
        encrypted.alice.verified_devices(&encrypted.scene.bot).await?.len(),
        1,
        "{}",
        encrypted.scene.host.log()
    );
    assert!(!encrypted.scene.host.path("state/matrix/marvin/store.old").exists());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_token_login_without_its_keys_is_explained() -> Result<()> {
    let url = Synapse::shared().await?.url();
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.kill();
    let account = MatrixUser::login(&url, &scene.bot, scene.host.password()).await?;
    let safe = scene.host.path("safe");
    fs::rename(scene.host.path(KEY), &safe)?;
    scene.host.add_to_account("recovery_key = { file = \"safe\" }")?;
    scene.host.use_token(account.token())?;
    scene.host.start()?;
    scene.barrier().await?;
    let room = new_room(&scene, &[&scene.bot]).await?;
    let bot = scene.bot.clone();
    scene.host.kill();
    fs::remove_dir_all(scene.host.path("state/matrix/marvin"))?;
    scene.host.start()?;
    scene.host.wait_for_log("with another client, put the new access token in").await?;
    // The bot reported the problem and stopped. It sent no unencrypted message.
    let events = scene.alice.events(&room).await?;
    let said = |event: &&Value| event["sender"] == bot.as_str() && !body(event).is_empty();
    assert_eq!(events.iter().filter(said).count(), 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn expired_tokens_are_refreshed_and_stored() -> Result<()> {
    let synapse = Synapse::with("refreshable_access_token_lifetime: 3s\n").await?;
    let mut scene = Scene::open(&synapse).await?;
    scene.barrier().await?;
    let session = || fs::read_to_string(scene.host.path("state/matrix/marvin/session.json"));
    let before = session()?;
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    scene.barrier().await?;
    assert_ne!(session()?, before, "the new tokens are on disk");
    scene.host.kill();
    tokio::time::sleep(std::time::Duration::from_secs(4)).await;
    scene.host.start()?;
    scene.barrier().await?;
    assert_eq!(scene.host.log().matches("logged in user=").count(), 1, "the same session all the time");
    Ok(())
}
