//! Tests of posts that were missed while no host ran: they are read back to the cursor, and no further.

use anyhow::{Result, ensure};
use serde_json::json;

use crate::harness::{Harness, until};

#[tokio::test]
async fn posts_from_before_the_first_start_are_not_handled() -> Result<()> {
    let harness = Harness::new().await?;
    let before = harness.alice.post(&harness.ops, "!whoami");
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    // The same applies after a crash right after the first message.
    host.kill();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    let _host = harness.start().await?;
    harness.each_once(&asked).await?;
    ensure!(harness.bot.replies(&before).is_empty(), "a post from before the first start was answered");
    Ok(())
}

#[tokio::test]
async fn fifteen_hundred_missed_posts_are_all_read() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    host.kill();
    for number in 0..1500 {
        let command = number % 100 == 0;
        let post = harness.alice.post(&harness.ops, if command { "!whoami" } else { "small talk" });
        if command {
            asked.push(post);
        }
    }
    let _host = harness.start().await?;
    harness.each_once(&asked).await
}

#[tokio::test]
async fn only_new_text_of_people_is_handled() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    let ignored = |harness: &Harness| {
        let deleted = harness.alice.post(&harness.ops, "small talk");
        harness.alice.edit(&deleted, "!whoami");
        let edited = harness.alice.post(&harness.ops, "nothing");
        harness.alice.edit(&edited, "!whoami");
        let own = harness.bot.post(&harness.ops, "!whoami");
        let system = json!({ "message": "!whoami", "type": "system_header_change" });
        let system = harness.server.post_with(&harness.ops, &harness.alice, &system);
        let hook = json!({ "message": "!whoami", "props": { "from_webhook": "true" } });
        let hook = harness.server.post_with(&harness.ops, &harness.alice, &hook);
        let (other, _) = harness.server.bot("other-bot");
        harness.server.put(&harness.ops, &other);
        let machine = other.post(&harness.ops, "!whoami");
        harness.alice.delete(&deleted);
        [edited, own, system, hook, machine]
    };
    let mut silent = ignored(&harness).to_vec();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    host.kill();
    let removed = harness.alice.post(&harness.ops, "!whoami");
    harness.alice.delete(&removed);
    silent.extend(ignored(&harness));
    silent.push(removed);
    // A command that was handled is not handled again after an edit.
    harness.alice.edit(&asked[0], "!help");
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    let _host = harness.start().await?;
    harness.each_once(&asked).await?;
    for post in silent {
        ensure!(harness.bot.replies(&post).is_empty(), "answered: {:?}", harness.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn a_channel_that_cannot_be_read_does_not_delay_another() -> Result<()> {
    let harness = Harness::new().await?;
    let other = harness.server.channel("eng", "other");
    harness.server.put(&other, &harness.bot);
    harness.server.faults(|faults| faults.forbidden = [harness.ops.clone()].into());
    let config = harness.table(&harness.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/other\"");
    let _host = harness.start_with(&config).await?;
    let there = harness.alice.post(&other, "!whoami");
    harness.answer(&there).await?;
    let held = harness.alice.post(&harness.ops, "!whoami");
    harness.server.faults(|faults| faults.forbidden.clear());
    harness.each_once(&[held]).await
}

#[tokio::test]
async fn a_host_that_is_killed_at_any_time_answers_once() -> Result<()> {
    let harness = Harness::new().await?;
    let mut asked = Vec::new();
    let host = harness.start().await?;
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    host.kill();
    for pause in [0, 5, 15, 30, 60, 120] {
        asked.push(harness.alice.post(&harness.ops, "!whoami"));
        let host = harness.start().await?;
        asked.push(harness.alice.post(&harness.ops, "!whoami"));
        tokio::time::sleep(std::time::Duration::from_millis(pause)).await;
        host.kill();
    }
    let host = harness.start().await?;
    harness.each_once(&asked).await?;
    host.stop().await?;
    until("the connection is closed", || !harness.server.is_connected()).await
}
