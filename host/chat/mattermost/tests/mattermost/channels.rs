//! Tests of the channels that are served: configured channels, direct messages, and channels to which an admin added
//! the bot.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::harness::Harness;

#[tokio::test]
async fn a_direct_message_needs_no_prefix() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let before = harness.server.direct(&harness.bot, &harness.bob);
    harness.answer(&harness.bob.post(&before, "whoami")).await?;
    host.kill();
    // The first direct message arrives while no host runs.
    let dm = harness.server.direct(&harness.bot, &harness.alice);
    let asked = harness.alice.post(&dm, "whoami");
    let _host = harness.start().await?;
    harness.answer(&asked).await?;
    harness.answer(&harness.alice.post(&dm, "whoami")).await?;
    Ok(())
}

#[tokio::test]
async fn only_an_admin_adds_the_bot_to_a_channel() -> Result<()> {
    let harness = Harness::new().await?;
    let alice = harness.alice.id();
    let config = format!("{}[people]\nadmins = [\"{alice}\"]\n", harness.table(&harness.server.url()));
    let (by_hand, by_bob) = (harness.server.channel("eng", "by-hand"), harness.server.channel("eng", "by-bob"));
    harness.server.put(&by_hand, &harness.bot);
    let host = harness.start_with(&config).await?;
    let by_alice = harness.server.channel("eng", "by-alice");
    for channel in [&by_alice, &by_bob, &by_hand] {
        harness.server.put(channel, &harness.alice);
    }
    harness.alice.add(&by_alice, &harness.bot);
    harness.bob.add(&by_bob, &harness.bot);
    harness.answer(&harness.alice.post(&by_alice, "!whoami")).await?;
    let ignored = [harness.alice.post(&by_bob, "!whoami"), harness.alice.post(&by_hand, "!whoami")];
    host.kill();
    // The same applies after a restart, and if an admin adds the bot while no host runs.
    let later = harness.server.channel("eng", "later");
    harness.server.put(&later, &harness.alice);
    let too_early = harness.alice.post(&later, "!whoami");
    // The order of events within one millisecond is not known.
    tokio::time::sleep(Duration::from_millis(5)).await;
    harness.alice.add(&later, &harness.bot);
    let meanwhile = harness.alice.post(&later, "!whoami");
    let host = harness.start_with(&config).await?;
    harness.answer(&meanwhile).await?;
    harness.answer(&harness.alice.post(&by_alice, "!whoami")).await?;
    // A person who is not an admin removes the bot and adds it again.
    harness.server.remove(&by_alice, &harness.bot);
    harness.bob.add(&by_alice, &harness.bot);
    let after = harness.alice.post(&by_alice, "!whoami");
    tokio::time::sleep(Duration::from_millis(800)).await;
    for post in ignored.iter().chain([&too_early, &after]) {
        ensure!(harness.bot.replies(post).is_empty(), "answered: {:?}", harness.bot.replies(post));
    }
    host.stop().await
}

#[tokio::test]
async fn a_configured_channel_is_served_when_anybody_adds_the_bot() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness
        .start_with(&harness.table(&harness.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/new\""))
        .await?;
    let new = harness.server.channel("eng", "new");
    harness.server.put(&new, &harness.alice);
    harness.bob.add(&new, &harness.bot);
    harness.answer(&harness.alice.post(&new, "!whoami")).await?;
    host.stop().await
}

#[tokio::test]
async fn posts_from_before_a_channel_was_served_are_not_handled() -> Result<()> {
    let harness = Harness::new().await?;
    let other = harness.server.channel("eng", "other");
    harness.server.put(&other, &harness.bot);
    let host = harness.start().await?;
    harness.answer(&harness.alice.post(&harness.ops, "!whoami")).await?;
    let before = harness.alice.post(&other, "!whoami");
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.stop().await?;
    let config = harness.table(&harness.server.url()).replace("\"eng/ops\"", "\"eng/other\"");
    let _host = harness.start_with(&config).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    harness.answer(&harness.alice.post(&other, "!whoami")).await?;
    ensure!(harness.bot.replies(&before).is_empty(), "a post from before the channel was served was answered");
    Ok(())
}
