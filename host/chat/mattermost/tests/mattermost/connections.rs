//! Tests of failing connections: no command is lost or handled twice.

use std::time::Duration;

use anyhow::{Result, ensure};
use wardroom_fake_mattermost::ServerVersion;

use crate::harness::{Harness, until};

#[tokio::test]
async fn a_command_is_answered_in_its_thread() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let asked = harness.alice.post(&harness.ops, "!whoami");
    let answer = harness.answer(&asked).await?;
    ensure!(answer.message.contains("alice") && answer.message.contains(harness.alice.id()), "{answer:?}");
    ensure!(answer.props.contains_key("wardroom_key") && answer.props["disable_group_highlight"] == true, "{answer:?}");
    let within = harness.alice.reply(&asked, "@ops-bot: whoami");
    until("an answer in the same thread", || harness.bot.replies(&asked).len() == 2).await?;
    ensure!(harness.bot.replies(&within).is_empty(), "the answer is not in the thread of the command");
    Ok(())
}

#[tokio::test]
async fn a_connection_that_was_cut_is_resumed() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    let (_, resumed) = harness.server.connections();
    for _ in 0..3 {
        harness.server.cut();
        asked.push(harness.alice.post(&harness.ops, "!whoami"));
        harness.each_once(&asked).await?;
    }
    ensure!(harness.server.connections().1 > resumed, "no connection was resumed: {:?}", harness.server.connections());
    Ok(())
}

#[tokio::test]
async fn the_channels_are_read_back_after_a_restart_of_the_server() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| faults.down = true);
    harness.server.restart();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(700)).await;
    harness.server.faults(|faults| faults.down = false);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn a_silent_connection_is_closed() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.freeze();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| faults.deaf = true);
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_secs(2)).await;
    harness.server.faults(|faults| faults.deaf = false);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn repeated_reordered_and_unknown_events_are_handled() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.faults(|faults| (faults.twice, faults.swapped, faults.strange) = (true, true, true));
    let _host = harness.start().await?;
    let asked: Vec<String> = (0..20).map(|_| harness.alice.post(&harness.ops, "!whoami")).collect();
    harness.each_once(&asked).await
}

#[tokio::test]
async fn an_answer_whose_request_got_no_response_is_posted_once() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    harness.server.faults(|faults| faults.lost_answers = 3);
    let mut asked: Vec<String> = (0..5).map(|_| harness.alice.post(&harness.ops, "!whoami")).collect();
    harness.each_once(&asked).await?;
    // The same applies if the server no longer has the `pending_post_id`.
    harness.server.faults(|faults| faults.lost_answers = 1);
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    until("the answer is stored", || harness.bot.replies(&asked[5]).len() == 1).await?;
    harness.server.restart();
    harness.each_once(&asked).await?;
    // The same applies if the server answers late.
    harness.server.faults(|faults| faults.slow_posts = Duration::from_millis(400));
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(200)).await;
    harness.server.cut();
    harness.each_once(&asked).await
}

#[tokio::test]
async fn rate_limits_and_failures_of_the_server_are_retried() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.faults(|faults| (faults.limited, faults.retry_after) = (2, 1));
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| (faults.limited, faults.broken_posts) = (1, 2));
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await
}

#[tokio::test]
async fn the_account_authenticates_by_challenge_where_a_proxy_drops_the_header() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.faults(|faults| faults.no_header = true);
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    ensure!(harness.server.connections().1 == 0, "a connection that a challenge authenticated is never resumed");
    Ok(())
}

#[tokio::test]
async fn an_old_server_version_is_supported() -> Result<()> {
    let harness = Harness::of(ServerVersion::Old).await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    host.kill();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    let _host = harness.start().await?;
    harness.each_once(&asked).await
}
