//! Tests of channels in which the bot may not post: messages wait, no action starts, and both end with the permission.

use anyhow::{Result, ensure};
use wardroom::{
    base::Text,
    model::Outcome,
    store::{OutboxKind, OutboxRow, Store as _, Write},
};

use crate::{
    harness::{Harness, cache, until},
    people::COMMAND,
};

/// A configuration without approvals.
fn config(harness: &Harness) -> String {
    harness.with_approvals().replace("approval = { count = 1, from = \"deployer\", within = \"5m\" }", "")
}

fn message(harness: &Harness, key: &str) -> Write {
    Write::Send(OutboxRow {
        key: key.into(),
        bot: "marvin".into(),
        network: "mattermost".into(),
        room: harness.ops.clone(),
        thread: None,
        purpose: OutboxKind::Message,
        text: Text::lines(key),
    })
}

#[tokio::test]
async fn the_end_of_a_job_is_said_once_when_the_bot_may_post_again() -> Result<()> {
    let mut harness = Harness::new().await?;
    harness.pipelines = wardroom::adapter::MemoryPipelines::new(None);
    let host = harness.start_with(&config(&harness)).await?;
    harness.alice.post(&harness.ops, COMMAND);
    until("a run", || !harness.pipelines.runs().is_empty()).await?;
    until("a card", || !harness.bot.posts(&harness.ops).is_empty()).await?;
    harness.server.moderate(&harness.ops, true);
    harness.pipelines.end(Outcome::Succeeded);
    until("it is over", || harness.store.all_jobs().iter().all(|job| job.end.is_some())).await?;
    // The edit of the card is rejected, and so is a new message.
    until("an attempt", || harness.server.calls("POST", "/posts") > 1).await?;
    // A restart keeps what waits.
    host.kill();
    let _host = harness.start_with(&config(&harness)).await?;
    let closings = || harness.bot.posts(&harness.ops).iter().filter(|post| post.message.contains("succeeded")).count();
    ensure!(closings() == 0, "{:?}", harness.bot.posts(&harness.ops));
    harness.server.moderate(&harness.ops, false);
    until("the closing line", || closings() > 0).await?;
    let asked = harness.alice.post(&harness.ops, "!whoami");
    harness.answer(&asked).await?;
    ensure!(closings() == 1, "{:?}", harness.bot.posts(&harness.ops));
    Ok(())
}

#[tokio::test]
async fn a_closing_line_whose_edit_is_rejected_is_a_new_message() -> Result<()> {
    let mut harness = Harness::new().await?;
    harness.pipelines = wardroom::adapter::MemoryPipelines::new(None);
    let _host = harness.start_with(&config(&harness)).await?;
    harness.server.faults(|faults| faults.refuses_edits = true);
    harness.alice.post(&harness.ops, COMMAND);
    until("a run", || !harness.pipelines.runs().is_empty()).await?;
    until("a card", || !harness.bot.posts(&harness.ops).is_empty()).await?;
    harness.pipelines.end(Outcome::Succeeded);
    let closings = || harness.bot.posts(&harness.ops).iter().filter(|post| post.message.contains("succeeded")).count();
    until("the closing line", || closings() > 0).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    ensure!(closings() == 1, "{:?}", harness.bot.posts(&harness.ops));
    Ok(())
}

#[tokio::test]
async fn no_action_starts_from_a_channel_in_which_the_bot_may_not_post() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.moderate(&harness.ops, true);
    let _host = harness.start_with(&config(&harness)).await?;
    let command = harness.alice.post(&harness.ops, COMMAND);
    let question = harness.alice.post(&harness.ops, "!whoami");
    let is_refused = || {
        let records = harness.store.all_lines();
        records.iter().any(|record| record.refused && record.denials.concat().contains("Nothing was done"))
    };
    until("the refusal is recorded", is_refused).await?;
    until("the query is recorded", || harness.store.all_lines().len() == 2).await?;
    ensure!(harness.store.all_jobs().is_empty() && harness.bot.posts(&harness.ops).is_empty());
    harness.server.moderate(&harness.ops, false);
    let answer = harness.answer(&command).await?;
    ensure!(answer.message.contains("could not send its result"), "{answer:?}");
    harness.answer(&question).await?;
    let command = harness.alice.post(&harness.ops, COMMAND);
    until("a job", || !harness.store.all_jobs().is_empty()).await?;
    until("an answer", || !harness.bot.replies(&command).is_empty()).await
}

#[tokio::test]
async fn messages_to_an_archived_channel_wait_until_it_is_restored() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.server.archive(&harness.ops, true);
    host.kill();
    harness.store.commit(vec![message(&harness, "first"), message(&harness, "second")]).await?;
    let dev = harness.server.channel("eng", "dev");
    harness.server.put(&dev, &harness.bot);
    let _host = harness.start().await?;
    until("an attempt", || harness.server.calls("POST", "/posts") > 1).await?;
    ensure!(harness.bot.posts(&harness.ops).len() == 1);
    harness.server.archive(&harness.ops, false);
    until("both messages", || harness.bot.posts(&harness.ops).len() == 3).await?;
    let words: Vec<String> = harness.bot.posts(&harness.ops).into_iter().map(|post| post.message).collect();
    ensure!(words[1..] == ["first", "second"], "{words:?}");
    Ok(())
}

#[tokio::test]
async fn the_refusal_of_one_post_does_not_block_the_channel() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.faults(|faults| faults.rejected = "secret".into());
    let secret = OutboxRow {
        text: Text::lines("a secret"),
        ..match message(&harness, "secret") {
            Write::Send(row) => row,
            _ => unreachable!("a message is a row of the outbox"),
        }
    };
    harness.store.commit(vec![Write::Send(secret), message(&harness, "next")]).await?;
    let _host = harness.start().await?;
    let posts = harness.until_posted(&harness.ops, 1).await?;
    ensure!(posts[0].message == "next", "{posts:?}");
    Ok(())
}

#[tokio::test]
async fn check_reports_a_channel_in_which_the_bot_may_not_post() -> Result<()> {
    let harness = Harness::new().await?;
    let file = tempfile::tempdir()?;
    std::fs::write(file.path().join("token"), &harness.token)?;
    let path = file.path().join("plugins.toml");
    std::fs::write(&path, harness.table(&harness.server.url()))?;
    let failed = async || -> Result<String> {
        let builder = harness.builder();
        let config = builder.read(&path)?;
        let found = builder.cache(cache()).review(config).await?.probe().await;
        Ok(found.into_iter().filter_map(Result::err).collect::<Vec<_>>().join("\n"))
    };
    ensure!(failed().await?.is_empty());
    harness.server.moderate(&harness.ops, true);
    let wrong = failed().await?;
    ensure!(wrong.contains("may not post in the channel eng/ops") && wrong.contains("`create_post`"), "{wrong}");
    Ok(())
}
