//! Tests approvals in a real room: by reaction, after restarts, withdrawn, denied and expired.

use anyhow::Result;
use serde_json::{Value, json};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh},
    synapse::Synapse,
};

use super::{
    DEPLOY, DEPLOYED,
    scene::{Scene, body, replaces, thread_of},
};

/// Starts a scene with people who can approve.
async fn scene_with(terms: &str, names: &[&str]) -> Result<(Scene, Vec<MatrixUser>)> {
    let synapse = Synapse::shared().await?;
    let mut scene = Scene::open(synapse).await?;
    let mut people = Vec::new();
    for name in names {
        let person = MatrixUser::new(&synapse.url(), &fresh(name)).await?;
        person.join(&scene.room).await?;
        people.push(person);
    }
    let ids: Vec<&str> = people.iter().map(|person| person.id.as_str()).collect();
    scene.host.use_approval(terms, &ids)?;
    scene.host.kill();
    scene.host.start()?;
    scene.barrier().await?;
    Ok((scene, people))
}

/// Waits for the approval request, which is in the room and not in a thread. Returns its event id.
async fn asked(scene: &Scene) -> Result<String> {
    let asks =
        |event: &Value| event["sender"] == scene.bot && thread_of(event).is_none() && body(event).contains("The plan:");
    let message = scene.alice.wait(&scene.room, "message that asks", asks).await?;
    Ok(message["event_id"].as_str().unwrap_or_default().to_owned())
}

/// Waits until an edit of the approval request contains `words`.
async fn changed(scene: &Scene, asked: &str, words: &str) -> Result<Value> {
    let fits = |event: &Value| replaces(event, asked) && body(event).contains(words);
    scene.alice.wait(&scene.room, &format!("change of what asks to `{words}`"), fits).await
}

async fn asking_messages(scene: &Scene) -> Result<usize> {
    let events = scene.said_by_bot().await?;
    let first = |event: &&Value| event["content"]["m.relates_to"].is_null() && body(event).contains("The plan:");
    Ok(events.iter().filter(first).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_by_reaction_during_downtime_counts() -> Result<()> {
    let (mut scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    let events = scene.alice.events(&scene.room).await?;
    let message = events.iter().find(|event| event["event_id"] == asked.as_str()).expect("the message");
    // The request is a normal text, because a notice would not notify the mentioned people.
    assert_eq!(message["content"]["msgtype"], "m.text");
    assert_eq!(message["content"]["m.mentions"], json!({ "user_ids": [people[0].id] }));
    assert!(body(message).contains("1. pipelines.trigger cms/staging version 1.0.2"), "{message}");

    // The person who typed the command and a person without the right are refused with a reason.
    scene.alice.react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "You started job").await?;
    let mallory = MatrixUser::new(&Synapse::shared().await?.url(), &fresh("mallory")).await?;
    mallory.join(&scene.room).await?;
    mallory.react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "You may not approve job").await?;
    // Other emoji are not an answer.
    people[0].react(&scene.room, &asked, "🎉").await?;
    people[0].react(&scene.room, &command, "👍").await?;
    scene.barrier().await?;
    assert!(scene.host.runs().is_empty());

    scene.host.kill();
    people[0].react(&scene.room, &asked, "👍").await?;
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    changed(&scene, &asked, "was approved").await?;
    // An answer after the deadline changes nothing.
    people[0].react(&scene.room, &asked, "👎").await?;
    scene.answer(&asked, "does not wait for approval").await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    assert_eq!(asking_messages(&scene).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_denial_and_an_expiry_end_the_job() -> Result<()> {
    let (mut scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let first = asked(&scene).await?;
    scene.host.kill();
    scene.host.start()?;
    scene.barrier().await?;
    people[0].react(&scene.room, &first, "👎").await?;
    scene.answer(&command, "was not approved. Nothing was changed").await?;
    changed(&scene, &first, "denied by").await?;

    // The thread of the request names the job, so no id is needed.
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let fits = |event: &Value| {
        event["sender"] == scene.bot
            && event["event_id"] != first.as_str()
            && event["content"]["m.relates_to"].is_null()
            && body(event).contains("The plan:")
    };
    let second = scene.alice.wait(&scene.room, "second message that asks", fits).await?;
    let second = second["event_id"].as_str().unwrap_or_default().to_owned();
    let thread = json!({ "rel_type": "m.thread", "event_id": second });
    let words = json!({ "msgtype": "m.text", "body": "!deny not today, please", "m.relates_to": thread });
    people[0].send(&scene.room, "m.room.message", words).await?;
    scene.answer(&command, ": not today, please").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn repeated_approvals_count_once_and_simultaneous_ones_both_count() -> Result<()> {
    let (scene, people) = scene_with("count = 3, within = \"10m\"", &["carol", "dave", "erin"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    people[0].react(&scene.room, &asked, "👍").await?;
    people[0].react(&scene.room, &asked, "👍🏿").await?;
    people[0].say(&scene.room, "!approve").await?;
    changed(&scene, &asked, "1 of 3").await?;
    scene.barrier().await?;
    assert!(scene.host.runs().is_empty());
    let room = &scene.room;
    let (one, other) = tokio::join!(people[1].react(room, &asked, "👍"), people[2].react(room, &asked, "👍"));
    one.and(other)?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_redacted_command_is_cancelled() -> Result<()> {
    let (scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    // An edit is neither a new command nor a change of one.
    let edited = json!({
        "msgtype": "m.text", "body": "* !deploy cms staging 6.6.6",
        "m.new_content": { "msgtype": "m.text", "body": "!deploy cms staging 6.6.6" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": command },
    });
    scene.alice.send(&scene.room, "m.room.message", edited).await?;
    scene.barrier().await?;
    scene.alice.redact(&scene.room, &command).await?;
    changed(&scene, &asked, "the job has ended").await?;
    people[0].react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "does not wait for approval").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn an_approval_that_expires_denies() -> Result<()> {
    let (scene, _) = scene_with("within = \"2s\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    scene.answer(&command, "the deadline passed without the approval of the role").await?;
    changed(&scene, &asked, "the deadline passed").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_withdrawn_reaction_does_not_count() -> Result<()> {
    let (scene, people) = scene_with("count = 2, within = \"10m\"", &["carol", "dave"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    let carols = people[0].react(&scene.room, &asked, "👍🏽").await?;
    changed(&scene, &asked, "1 of 2").await?;
    people[0].redact(&scene.room, &carols).await?;
    changed(&scene, &asked, "0 of 2").await?;
    people[1].react(&scene.room, &asked, "👍").await?;
    scene.barrier().await?;
    assert!(scene.host.runs().is_empty());
    people[0].say(&scene.room, "!approve").await?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    assert_eq!(asking_messages(&scene).await?, 1);
    Ok(())
}
