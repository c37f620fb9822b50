//! What somebody with a hand on the homeserver could put into an encrypted room: old words as new ones, other keys, reactions
//! and threads.
//!
//! Invariant: as in the stories beside this file. A second login without keys does what the homeserver could do.

use anyhow::{Context as _, Result};
use serde_json::Value;
use wardroom_tests::{matrix_user::MatrixUser, synapse::Synapse};

use super::{
    DEPLOY, DEPLOYED,
    encrypted::{Sealed, password},
    scene::{body, is_reaction, thread_of},
};

#[tokio::test(flavor = "multi_thread")]
async fn the_same_ciphertext_as_another_event_is_not_done_again() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, DEPLOYED).await?;
    let events = sealed.scene.alice.events(&sealed.room).await?;
    let original = events.iter().find(|event| event["event_id"] == command.as_str()).context("the command")?;
    assert_eq!(original["type"], "m.room.encrypted");
    let first = sealed.scene.alice.send(&sealed.room, "m.room.encrypted", original["content"].clone()).await?;
    sealed.fence().await?;
    // Read back it is an event like any other.
    sealed.scene.host.kill();
    let second = sealed.scene.alice.send(&sealed.room, "m.room.encrypted", original["content"].clone()).await?;
    sealed.scene.host.start()?;
    sealed.fence().await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    for replayed in [&first, &second] {
        assert_eq!(sealed.answers(replayed, "").await?, 0);
    }
    // The same words said again are another command.
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, DEPLOYED).await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2", "1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_has_other_keys_than_before_asks_and_does_not_act_until_an_operator_accepts_them() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    sealed.fence().await?;
    let key = sealed.alice.reset_keys(password(&sealed.scene.alice.id)).await?;
    // The bot hears of it with a later sync, and its answers to questions go on.
    for _ in 0..20 {
        sealed.fence().await?;
        if sealed.scene.host.log().contains("master key changed") {
            break;
        }
    }
    assert!(sealed.scene.host.log().contains(&key), "{}", sealed.scene.host.log());
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    sealed.answer(&command, "keys are not those by which I know you").await?;
    sealed.scene.alice.wait(&sealed.room, "⛔", |event| is_reaction(event, &command, "⛔")).await?;
    assert!(sealed.scene.host.runs().is_empty());
    // A restart changes nothing, and neither does a store of keys that is lost.
    sealed.scene.host.kill();
    std::fs::remove_dir_all(sealed.scene.host.path("state/matrix/marvin/store"))?;
    sealed.scene.host.start()?;
    sealed.insist(DEPLOY, "keys are not those by which I know you").await?;
    // Others are known by theirs.
    let other = sealed.carol.say(&sealed.room, "!whoami").await?;
    sealed.answer(&other, "").await?;

    sealed.scene.host.kill();
    let id = &sealed.scene.alice.id;
    sealed.scene.host.add_to_account(&format!("identities = {{ \"{id}\" = \"{key}\" }}"))?;
    sealed.scene.host.start()?;
    sealed.insist(DEPLOY, DEPLOYED).await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn without_reactions_an_approval_names_its_job_in_words() -> Result<()> {
    let mut sealed = Sealed::open().await?;
    sealed.scene.host.kill();
    sealed.scene.host.use_approval("within = \"10m\"", &[&sealed.carol.id])?;
    sealed.scene.host.add_to_account("reactions = \"off\"")?;
    sealed.scene.host.start()?;
    let command = sealed.alice.say(&sealed.room, DEPLOY).await?;
    let asks = |event: &Value| thread_of(event).is_none() && body(event).contains("It is going to:");
    let asked = sealed.carol.wait(&sealed.room, "message that asks", asks).await?;
    let told = body(&asked).split_once("`approve ").and_then(|(_, rest)| rest.split_once('`'));
    let job = told.with_context(|| format!("no id in {asked}"))?.0.to_owned();
    let plain =
        MatrixUser::login(&Synapse::shared().await?.url(), &sealed.carol.id, password(&sealed.carol.id)).await?;
    plain.react(&sealed.room, asked["event_id"].as_str().unwrap_or_default(), "👍").await?;
    let bare = sealed.carol.say(&sealed.room, "!approve").await?;
    sealed.answer(&bare, "Put the job's id behind the command").await?;
    assert!(sealed.scene.host.runs().is_empty());
    sealed.carol.say(&sealed.room, &format!("!approve {job}")).await?;
    sealed.answer(&command, DEPLOYED).await?;
    assert_eq!(sealed.scene.host.runs(), ["1.0.2"]);
    Ok(())
}
