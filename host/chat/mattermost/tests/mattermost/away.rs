//! What happened while nobody was there: read back to where it was left, and nothing else.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::rig::{Rig, until};

#[tokio::test]
async fn what_stood_there_before_the_first_start_is_not_handled() -> Result<()> {
    let rig = Rig::new().await?;
    let before = rig.alice.post(&rig.ops, "!whoami");
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    // A crash right after the first message must not let the ones before in.
    host.kill();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    let _host = rig.start().await?;
    rig.each_once(&asked).await?;
    ensure!(rig.bot.replies(&before).is_empty(), "a message from before its time was answered");
    Ok(())
}

#[tokio::test]
async fn fifteen_hundred_missed_posts_are_all_read() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    host.kill();
    for number in 0..1500 {
        let command = number % 100 == 0;
        let post = rig.alice.post(&rig.ops, if command { "!whoami" } else { "small talk" });
        if command {
            asked.push(post);
        }
    }
    let _host = rig.start().await?;
    rig.each_once(&asked).await
}

#[tokio::test]
async fn only_somebodys_own_new_words_are_handled() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    let mut asked = vec![rig.alice.post(&rig.ops, "!whoami")];
    rig.each_once(&asked).await?;
    let unheard = |rig: &Rig| {
        let deleted = rig.alice.post(&rig.ops, "small talk");
        rig.alice.edit(&deleted, "!whoami");
        let edited = rig.alice.post(&rig.ops, "nothing");
        rig.alice.edit(&edited, "!whoami");
        let own = rig.bot.post(&rig.ops, "!whoami");
        let system = json!({ "message": "!whoami", "type": "system_header_change" });
        let system = rig.server.post_with(&rig.ops, &rig.alice, &system);
        let hook = json!({ "message": "!whoami", "props": { "from_webhook": "true" } });
        let hook = rig.server.post_with(&rig.ops, &rig.alice, &hook);
        let (other, _) = rig.server.bot("other-bot");
        rig.server.put(&rig.ops, &other);
        let machine = other.post(&rig.ops, "!whoami");
        rig.alice.delete(&deleted);
        [edited, own, system, hook, machine]
    };
    let mut silent = unheard(&rig).to_vec();
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    host.kill();
    let removed = rig.alice.post(&rig.ops, "!whoami");
    rig.alice.delete(&removed);
    silent.extend(unheard(&rig));
    silent.push(removed);
    // What was handled is edited into something else: it stays handled.
    rig.alice.edit(&asked[0], "!help");
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    let _host = rig.start().await?;
    rig.each_once(&asked).await?;
    for post in silent {
        ensure!(rig.bot.replies(&post).is_empty(), "answered: {:?}", rig.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_that_cannot_be_read_holds_up_no_other() -> Result<()> {
    let rig = Rig::new().await?;
    let other = rig.server.channel("eng", "other");
    rig.server.put(&other, &rig.bot);
    rig.server.faults(|faults| faults.forbidden = [rig.ops.clone()].into());
    let config = rig.table(&rig.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/other\"");
    let _host = rig.start_with(&config).await?;
    let there = rig.alice.post(&other, "!whoami");
    rig.answer(&there).await?;
    let held = rig.alice.post(&rig.ops, "!whoami");
    rig.server.faults(|faults| faults.forbidden.clear());
    rig.each_once(&[held]).await
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_moment_answers_once() -> Result<()> {
    let rig = Rig::new().await?;
    let mut asked = Vec::new();
    let host = rig.start().await?;
    asked.push(rig.alice.post(&rig.ops, "!whoami"));
    rig.each_once(&asked).await?;
    host.kill();
    for pause in [0, 5, 15, 30, 60, 120] {
        asked.push(rig.alice.post(&rig.ops, "!whoami"));
        let host = rig.start().await?;
        asked.push(rig.alice.post(&rig.ops, "!whoami"));
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        host.kill();
    }
    let host = rig.start().await?;
    rig.each_once(&asked).await?;
    host.stop().await?;
    until("the connection is closed", || !rig.server.is_connected()).await
}
