//! A deployment that others have to approve, in a real room: by reactions, over restarts, taken back, denied, too late.

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

/// A scene with people who can approve, and the host started with them.
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
    scene.fence().await?;
    Ok((scene, people))
}

/// The message that asks; it stands in the room and in no thread.
async fn asked(scene: &Scene) -> Result<String> {
    let asks = |event: &Value| {
        event["sender"] == scene.bot && thread_of(event).is_none() && body(event).contains("It is going to:")
    };
    let message = scene.alice.wait(&scene.room, "message that asks", asks).await?;
    Ok(message["event_id"].as_str().unwrap_or_default().to_owned())
}

/// Waits until the message that asks has been changed so that it holds these words.
async fn changed(scene: &Scene, asked: &str, words: &str) -> Result<Value> {
    let fits = |event: &Value| replaces(event, asked) && body(event).contains(words);
    scene.alice.wait(&scene.room, &format!("change of what asks to `{words}`"), fits).await
}

async fn asking_messages(scene: &Scene) -> Result<usize> {
    let events = scene.said_by_bot().await?;
    let first = |event: &&Value| event["content"]["m.relates_to"].is_null() && body(event).contains("It is going to:");
    Ok(events.iter().filter(first).count())
}

#[tokio::test(flavor = "multi_thread")]
async fn somebody_else_approves_by_a_reaction_while_the_bot_is_down() -> Result<()> {
    let (mut scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    let events = scene.alice.events(&scene.room).await?;
    let message = events.iter().find(|event| event["event_id"] == asked.as_str()).expect("the message");
    // Whoever can approve is called, which a notice would not do.
    assert_eq!(message["content"]["msgtype"], "m.text");
    assert_eq!(message["content"]["m.mentions"], json!({ "user_ids": [people[0].id] }));
    assert!(body(message).contains("1. pipelines.trigger cms/staging version 1.0.2"), "{message}");

    // The one who asked, and somebody who may not, change nothing, and are told why.
    scene.alice.react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "You asked for job").await?;
    let mallory = MatrixUser::new(&Synapse::shared().await?.url(), &fresh("mallory")).await?;
    mallory.join(&scene.room).await?;
    mallory.react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "You may not approve job").await?;
    // What says nothing is no answer.
    people[0].react(&scene.room, &asked, "🎉").await?;
    people[0].react(&scene.room, &command, "👍").await?;
    scene.fence().await?;
    assert!(scene.host.runs().is_empty());

    scene.host.kill();
    people[0].react(&scene.room, &asked, "👍").await?;
    scene.host.start()?;
    scene.answer(&command, DEPLOYED).await?;
    changed(&scene, &asked, "was approved").await?;
    // After the time: it changes nothing any more.
    people[0].react(&scene.room, &asked, "👎").await?;
    scene.answer(&asked, "waits for no approval").await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    assert_eq!(asking_messages(&scene).await?, 1);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_no_and_a_time_that_is_over_end_it() -> Result<()> {
    let (mut scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let first = asked(&scene).await?;
    scene.host.kill();
    scene.host.start()?;
    scene.fence().await?;
    people[0].react(&scene.room, &first, "👎").await?;
    scene.answer(&command, "was not approved, and nothing was done").await?;
    changed(&scene, &first, "said no").await?;

    // In the message's own thread no id is needed.
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let fits = |event: &Value| {
        event["sender"] == scene.bot
            && event["event_id"] != first.as_str()
            && event["content"]["m.relates_to"].is_null()
            && body(event).contains("It is going to:")
    };
    let second = scene.alice.wait(&scene.room, "second message that asks", fits).await?;
    let second = second["event_id"].as_str().unwrap_or_default().to_owned();
    let thread = json!({ "rel_type": "m.thread", "event_id": second });
    let words = json!({ "msgtype": "m.text", "body": "!deny not today, please", "m.relates_to": thread });
    people[0].send(&scene.room, "m.room.message", words).await?;
    scene.answer(&command, "said no: not today, please").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn who_says_it_twice_counts_once_and_two_at_the_same_moment_count_both() -> Result<()> {
    let (scene, people) = scene_with("count = 3, within = \"10m\"", &["carol", "dave", "erin"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    people[0].react(&scene.room, &asked, "👍").await?;
    people[0].react(&scene.room, &asked, "👍🏿").await?;
    people[0].say(&scene.room, "!approve").await?;
    changed(&scene, &asked, "1 of 3").await?;
    scene.fence().await?;
    assert!(scene.host.runs().is_empty());
    let room = &scene.room;
    let (one, other) = tokio::join!(people[1].react(room, &asked, "👍"), people[2].react(room, &asked, "👍"));
    one.and(other)?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_command_that_is_taken_back_is_called_off() -> Result<()> {
    let (scene, people) = scene_with("within = \"10m\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    // An edit is no new command, and changes none.
    let edited = json!({
        "msgtype": "m.text", "body": "* !deploy cms staging 6.6.6",
        "m.new_content": { "msgtype": "m.text", "body": "!deploy cms staging 6.6.6" },
        "m.relates_to": { "rel_type": "m.replace", "event_id": command },
    });
    scene.alice.send(&scene.room, "m.room.message", edited).await?;
    scene.fence().await?;
    scene.alice.redact(&scene.room, &command).await?;
    changed(&scene, &asked, "the job is over").await?;
    people[0].react(&scene.room, &asked, "👍").await?;
    scene.answer(&asked, "waits for no approval").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn nobody_in_time_is_a_no() -> Result<()> {
    let (scene, _) = scene_with("within = \"2s\"", &["carol"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    scene.answer(&command, "there was no approval (deployer) in time").await?;
    changed(&scene, &asked, "in time").await?;
    assert!(scene.host.runs().is_empty());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_reaction_that_is_taken_back_counts_no_more() -> Result<()> {
    let (scene, people) = scene_with("count = 2, within = \"10m\"", &["carol", "dave"]).await?;
    let command = scene.alice.say(&scene.room, DEPLOY).await?;
    let asked = asked(&scene).await?;
    let carols = people[0].react(&scene.room, &asked, "👍🏽").await?;
    changed(&scene, &asked, "1 of 2").await?;
    people[0].redact(&scene.room, &carols).await?;
    changed(&scene, &asked, "0 of 2").await?;
    people[1].react(&scene.room, &asked, "👍").await?;
    scene.fence().await?;
    assert!(scene.host.runs().is_empty());
    people[0].say(&scene.room, "!approve").await?;
    scene.answer(&command, DEPLOYED).await?;
    assert_eq!(scene.host.runs(), ["1.0.2"]);
    assert_eq!(asking_messages(&scene).await?, 1);
    Ok(())
}
