//! Where the bot listens: channels of the configuration, direct messages, and those into which an admin brought it.

use std::time::Duration;

use anyhow::{Result, ensure};

use crate::rig::Rig;

#[tokio::test]
async fn a_direct_message_needs_no_prefix() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start().await?;
    let before = rig.server.direct(&rig.bot, &rig.bob);
    rig.answer(&rig.bob.post(&before, "whoami")).await?;
    host.kill();
    // The first words ever are said while nobody listens.
    let dm = rig.server.direct(&rig.bot, &rig.alice);
    let asked = rig.alice.post(&dm, "whoami");
    let _host = rig.start().await?;
    rig.answer(&asked).await?;
    rig.answer(&rig.alice.post(&dm, "whoami")).await?;
    Ok(())
}

#[tokio::test]
async fn only_an_admin_brings_the_bot_anywhere() -> Result<()> {
    let rig = Rig::new().await?;
    let alice = rig.alice.id();
    let config = format!("{}[people]\nadmins = [\"{alice}\"]\n", rig.table(&rig.server.url()));
    let (by_hand, by_bob) = (rig.server.channel("eng", "by-hand"), rig.server.channel("eng", "by-bob"));
    rig.server.put(&by_hand, &rig.bot);
    let host = rig.start_with(&config).await?;
    let by_alice = rig.server.channel("eng", "by-alice");
    for channel in [&by_alice, &by_bob, &by_hand] {
        rig.server.put(channel, &rig.alice);
    }
    rig.alice.add(&by_alice, &rig.bot);
    rig.bob.add(&by_bob, &rig.bot);
    rig.answer(&rig.alice.post(&by_alice, "!whoami")).await?;
    let unheard = [rig.alice.post(&by_bob, "!whoami"), rig.alice.post(&by_hand, "!whoami")];
    host.kill();
    // It is known after a restart too, and an admin who adds it while it is away does so as well.
    let later = rig.server.channel("eng", "later");
    rig.server.put(&later, &rig.alice);
    let too_early = rig.alice.post(&later, "!whoami");
    // Within one millisecond nobody knows what came first.
    tokio::time::sleep(Duration::from_millis(5)).await;
    rig.alice.add(&later, &rig.bot);
    let meanwhile = rig.alice.post(&later, "!whoami");
    let host = rig.start_with(&config).await?;
    rig.answer(&meanwhile).await?;
    rig.answer(&rig.alice.post(&by_alice, "!whoami")).await?;
    // Taken out and brought back by somebody else, it is not theirs to command any more.
    rig.server.remove(&by_alice, &rig.bot);
    rig.bob.add(&by_alice, &rig.bot);
    let after = rig.alice.post(&by_alice, "!whoami");
    tokio::time::sleep(Duration::from_millis(800)).await;
    for post in unheard.iter().chain([&too_early, &after]) {
        ensure!(rig.bot.replies(post).is_empty(), "answered: {:?}", rig.bot.replies(post));
    }
    host.stop().await
}

#[tokio::test]
async fn a_channel_of_the_configuration_is_found_when_somebody_adds_the_bot() -> Result<()> {
    let rig = Rig::new().await?;
    let host = rig.start_with(&rig.table(&rig.server.url()).replace("\"eng/ops\"", "\"eng/ops\", \"eng/new\"")).await?;
    let new = rig.server.channel("eng", "new");
    rig.server.put(&new, &rig.alice);
    rig.bob.add(&new, &rig.bot);
    rig.answer(&rig.alice.post(&new, "!whoami")).await?;
    host.stop().await
}

#[tokio::test]
async fn what_was_written_while_a_channel_was_not_ours_is_not_handled_when_it_is() -> Result<()> {
    let rig = Rig::new().await?;
    let other = rig.server.channel("eng", "other");
    rig.server.put(&other, &rig.bot);
    let host = rig.start().await?;
    rig.answer(&rig.alice.post(&rig.ops, "!whoami")).await?;
    let before = rig.alice.post(&other, "!whoami");
    tokio::time::sleep(Duration::from_millis(300)).await;
    host.stop().await?;
    let config = rig.table(&rig.server.url()).replace("\"eng/ops\"", "\"eng/other\"");
    let _host = rig.start_with(&config).await?;
    tokio::time::sleep(Duration::from_millis(500)).await;
    rig.answer(&rig.alice.post(&other, "!whoami")).await?;
    ensure!(rig.bot.replies(&before).is_empty(), "handled what was none of ours");
    Ok(())
}
