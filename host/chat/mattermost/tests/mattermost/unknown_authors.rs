//! Tests of authors that cannot be looked up yet, and of accounts that no longer exist.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::{
    harness::{Harness, until},
    people::{COMMAND, asking},
};

#[tokio::test]
async fn a_message_waits_for_the_lookup_of_its_author() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| faults.users_away = true);
    asked.push(harness.bob.post(&harness.ops, "!whoami"));
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(harness.bot.replies(&asked[1]).is_empty(), "the message of an unknown author was handled as a person's");
    harness.server.faults(|faults| faults.users_away = false);
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| faults.users_away = true);
    let carol = harness.server.person("carol");
    asked.push(carol.post(&harness.ops, "!whoami"));
    host.kill();
    let _host = harness.start().await?;
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(
        harness.bot.replies(&asked[3]).is_empty(),
        "the backfill handled the message of an unknown author as a person's"
    );
    harness.server.faults(|faults| faults.users_away = false);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn a_reaction_waits_for_the_lookup_of_its_author_and_a_programs_never_counts() -> Result<()> {
    let harness = Harness::new().await?;
    let (other, _) = harness.server.bot("other-bot");
    harness.server.put(&harness.ops, &other);
    let bob = harness.bob.id();
    let with_other = format!("\"{bob}\", \"{}\"]\ncommands", other.id());
    let config = harness.with_approvals().replace(&format!("\"{bob}\"]\ncommands"), &with_other);
    let _host = harness.start_with(&config).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.server.faults(|faults| faults.users_away = true);
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    other.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(800)).await;
    ensure!(harness.pipelines.runs().is_empty(), "a program approved before it was looked up");
    harness.server.faults(|faults| faults.users_away = false);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    ensure!(harness.pipelines.runs().is_empty(), "a program approved");
    harness.bob.react(&asks.id, "+1");
    until("it runs", || harness.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_reaction_that_waited_counts() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start_with(&harness.with_approvals()).await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    harness.server.faults(|faults| faults.users_away = true);
    harness.alice.post(&harness.ops, COMMAND);
    let asks = asking(&harness, 1).await?;
    harness.bob.react(&asks.id, "+1");
    tokio::time::sleep(Duration::from_millis(500)).await;
    ensure!(harness.pipelines.runs().is_empty(), "it was counted before its author was looked up");
    harness.server.faults(|faults| faults.users_away = false);
    until("it runs", || harness.pipelines.runs().len() == 1).await
}

#[tokio::test]
async fn a_message_of_a_missing_account_is_skipped_and_delays_no_other() -> Result<()> {
    let harness = Harness::new().await?;
    let eve = harness.server.person("eve");
    harness.server.put(&harness.ops, &eve);
    eve.vanish();
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    let mut ignored = vec![eve.post(&harness.ops, "!whoami")];
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    host.kill();
    ignored.push(eve.post(&harness.ops, "!whoami"));
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    let _host = harness.start().await?;
    asked.push(harness.bob.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    for post in ignored {
        ensure!(harness.bot.replies(&post).is_empty(), "answered: {:?}", harness.bot.replies(&post));
    }
    Ok(())
}

#[tokio::test]
async fn a_command_that_is_deleted_during_the_backfill_is_not_handled() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    host.kill();
    let command = harness.alice.post(&harness.ops, COMMAND);
    harness.server.faults(|faults| faults.slow_users = Duration::from_millis(1_500));
    let _host = harness.start().await?;
    // The backfill has found the command, and the lookup of its author is running.
    tokio::time::sleep(Duration::from_millis(700)).await;
    harness.alice.delete(&command);
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    harness.server.faults(|faults| faults.slow_users = Duration::ZERO);
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    ensure!(harness.pipelines.runs().is_empty(), "{:?}", harness.pipelines.runs());
    Ok(())
}
