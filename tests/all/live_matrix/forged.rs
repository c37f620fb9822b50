//! Tests attacks of a homeserver on an encrypted room: replayed ciphertexts, replaced keys, forged reactions and
//! threads.
//!
//! Invariant: the same as in `live_matrix`. A second login without keys acts as a malicious homeserver could.

use anyhow::{Context as _, Result};
use serde_json::{Value, json};
use wardroom_tests::{
    matrix_user::MatrixUser,
    proxy::{HttpProxy, Withheld},
    synapse::Synapse,
};

use super::{
    DEPLOY, DEPLOYED,
    encrypted::{EncryptedScene, password},
    scene::{Scene, body, is_reaction, thread_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn a_replayed_ciphertext_does_not_run_again() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, DEPLOYED).await?;
    let events = encrypted.scene.alice.events(&encrypted.room).await?;
    let original = events.iter().find(|event| event["event_id"] == command.as_str()).context("the command")?;
    assert_eq!(original["type"], "m.room.encrypted");
    let first = encrypted.scene.alice.send(&encrypted.room, "m.room.encrypted", original["content"].clone()).await?;
    encrypted.barrier().await?;
    // Backfill returns it like any other event.
    encrypted.scene.host.kill();
    let second = encrypted.scene.alice.send(&encrypted.room, "m.room.encrypted", original["content"].clone()).await?;
    encrypted.scene.host.start()?;
    encrypted.barrier().await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    for replayed in [&first, &second] {
        assert_eq!(encrypted.answers(replayed, "").await?, 0);
    }
    // The same text in a new message is a new command.
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, DEPLOYED).await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2", "1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edit_whose_relation_was_removed_starts_nothing() -> Result<()> {
    let encrypted = EncryptedScene::open().await?;
    let question = encrypted.alice.say(&encrypted.room, "!where cms").await?;
    encrypted.answer(&question, "nothing yet").await?;
    let edit = json!({
        "msgtype": "m.text", "body": DEPLOY, "m.new_content": { "msgtype": "m.text", "body": DEPLOY },
        "m.relates_to": { "rel_type": "m.replace", "event_id": question },
    });
    let edit = encrypted.alice.send(&encrypted.room, "m.room.message", edit).await?;
    let events = encrypted.scene.alice.events(&encrypted.room).await?;
    let original = events.iter().find(|event| event["event_id"] == edit.as_str()).context("the edit")?;
    assert_eq!(original["type"], "m.room.encrypted");
    let mut content = original["content"].clone();
    content.as_object_mut().and_then(|content| content.remove("m.relates_to")).context("no unencrypted relation")?;
    let stripped = encrypted.scene.alice.send(&encrypted.room, "m.room.encrypted", content).await?;
    encrypted.barrier().await?;
    assert!(encrypted.scene.host.runs().is_empty());
    assert_eq!(encrypted.answers(&stripped, "").await?, 0);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_reset_keys_cannot_act_until_an_operator_accepts_the_new_key() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    encrypted.barrier().await?;
    let key = encrypted.alice.reset_keys(password(&encrypted.scene.alice.id)).await?;
    // A later sync delivers the new key, although Alice sends nothing. The bot still answers queries.
    encrypted.scene.host.wait_for_log("master key changed").await?;
    encrypted.barrier().await?;
    assert!(encrypted.scene.host.log().contains(&key), "{}", encrypted.scene.host.log());
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    encrypted.answer(&command, "keys have changed since your earlier messages").await?;
    encrypted.scene.alice.wait(&encrypted.room, "⛔", |event| is_reaction(event, &command, "⛔")).await?;
    assert!(encrypted.scene.host.runs().is_empty());
    // The bot rejects the new key even after a restart or after its key store is lost.
    encrypted.scene.host.kill();
    std::fs::remove_dir_all(encrypted.scene.host.path("state/matrix/marvin/store"))?;
    encrypted.scene.host.start()?;
    encrypted.send_until_answered(DEPLOY, "keys have changed since your earlier messages").await?;
    // The keys of other people are not affected.
    let other = encrypted.carol.say(&encrypted.room, "!whoami").await?;
    encrypted.answer(&other, "").await?;

    encrypted.scene.host.kill();
    let id = &encrypted.scene.alice.id;
    encrypted.scene.host.add_to_account(&format!("identities = {{ \"{id}\" = \"{key}\" }}"))?;
    encrypted.scene.host.start()?;
    encrypted.send_until_answered(DEPLOY, DEPLOYED).await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_without_reactions_needs_the_job_id() -> Result<()> {
    let mut encrypted = EncryptedScene::open().await?;
    encrypted.scene.host.kill();
    encrypted.scene.host.use_approval("within = \"10m\"", &[&encrypted.carol.id])?;
    encrypted.scene.host.add_to_account("reactions = \"off\"")?;
    encrypted.scene.host.start()?;
    let command = encrypted.alice.say(&encrypted.room, DEPLOY).await?;
    let asks = |event: &Value| thread_of(event).is_none() && body(event).contains("The plan:");
    let asked = encrypted.carol.wait(&encrypted.room, "message that asks", asks).await?;
    let id = body(&asked).split_once("`!approve ").and_then(|(_, rest)| rest.split_once('`'));
    let job = id.with_context(|| format!("no id in {asked}"))?.0.to_owned();
    let plain =
        MatrixUser::login(&Synapse::shared().await?.url(), &encrypted.carol.id, password(&encrypted.carol.id)).await?;
    plain.react(&encrypted.room, asked["event_id"].as_str().unwrap_or_default(), "👍").await?;
    let bare = encrypted.carol.say(&encrypted.room, "!approve").await?;
    encrypted.answer(&bare, "Add the job's id to the command").await?;
    assert!(encrypted.scene.host.runs().is_empty());
    encrypted.carol.say(&encrypted.room, &format!("!approve {job}")).await?;
    encrypted.answer(&command, DEPLOYED).await?;
    assert_eq!(encrypted.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_encrypted_room_never_becomes_a_plain_room() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let scene = Scene::open_at(synapse, &proxy.url()).await?;
    let mut encrypted = EncryptedScene::of(scene, &synapse.url()).await?;
    encrypted.barrier().await?;
    // The homeserver ends the session, so that the bot has an empty store, and reports no room as encrypted.
    proxy.withhold(Withheld::EncryptionState);
    let bot = MatrixUser::login(&synapse.url(), &encrypted.scene.bot, encrypted.scene.host.password()).await?;
    bot.logout_everywhere().await?;
    for _ in 0..2 {
        let forged = encrypted.scene.alice.say(&encrypted.room, DEPLOY).await?;
        encrypted.scene.host.wait_for_log("the homeserver reports that the room is not encrypted").await?;
        // The other room is used as before.
        encrypted.scene.barrier().await?;
        assert_eq!(encrypted.answers(&forged, "").await?, 0);
        encrypted.scene.host.kill();
        encrypted.scene.host.start()?;
    }
    assert!(encrypted.scene.host.runs().is_empty(), "{}", encrypted.scene.host.log());
    let events = encrypted.scene.alice.events(&encrypted.room).await?;
    let plain = events
        .iter()
        .find(|event| event["sender"] == encrypted.scene.bot.as_str() && event["type"] == "m.room.message");
    assert!(plain.is_none(), "{plain:?}");
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn with_required_encryption_a_plain_room_starts_no_action() -> Result<()> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.barrier().await?;
    scene.host.kill();
    scene.host.add_to_account("encryption = \"required\"")?;
    scene.host.start()?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    scene.answer(&command, "accepts actions only in encrypted rooms").await?;
    let question = scene.alice.say(&scene.room, "!where cms").await?;
    scene.answer(&question, "nothing yet").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}
