//! Tests of hostile and large amounts of data from the server.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;

use crate::harness::Harness;

#[tokio::test]
async fn more_posts_than_a_backfill_buffers_are_all_handled() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    host.kill();
    // Somebody whom the bot does not know yet has written, so that the backfill waits for the lookup of the author.
    let carol = harness.server.person("carol");
    asked.push(carol.post(&harness.ops, "!whoami"));
    harness.server.faults(|faults| faults.slow_users = Duration::from_millis(1_500));
    let _host = harness.start().await?;
    tokio::time::sleep(Duration::from_millis(700)).await;
    // The backfill has read the channel, and does not find these posts.
    for number in 0..1_500 {
        let is_command = number % 150 == 0;
        let post = harness.alice.post(&harness.ops, if is_command { "!whoami" } else { "small talk" });
        asked.extend(is_command.then_some(post));
    }
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    harness.server.faults(|faults| faults.slow_users = Duration::ZERO);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn posts_with_deeply_nested_properties_affect_no_other_post() -> Result<()> {
    let harness = Harness::new().await?;
    let host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    host.kill();
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    let fields = json!({ "message": "small talk", "props": { "x": deep } });
    harness.server.post_with(&harness.ops, &harness.bob, &fields);
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    let _host = harness.start().await?;
    harness.server.post_with(&harness.ops, &harness.bob, &fields);
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await
}

#[tokio::test]
async fn a_response_that_is_too_large_counts_as_an_outage() -> Result<()> {
    let harness = Harness::new().await?;
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.faults(|faults| {
        (faults.padded, faults.padding) = (format!("/channels/{}", harness.ops), 32 * 1024 * 1024);
    });
    harness.server.restart();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    tokio::time::sleep(Duration::from_millis(1_500)).await;
    harness.server.faults(|faults| faults.padding = 0);
    harness.each_once(&asked).await
}

#[tokio::test]
async fn numbers_at_the_ends_of_their_range_are_handled() -> Result<()> {
    let harness = Harness::new().await?;
    harness.server.number_events_from(i64::MAX);
    harness.server.faults(|faults| faults.longest = usize::MAX);
    let _host = harness.start().await?;
    let mut asked = vec![harness.alice.post(&harness.ops, "!whoami")];
    harness.each_once(&asked).await?;
    harness.server.cut();
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await?;
    for at in [i64::MIN, i64::MAX] {
        let props = json!({ "addedUserId": harness.bot.id(), "userId": harness.alice.id() });
        let join = json!({ "type": "system_add_to_channel", "props": props, "create_at": at });
        let channel = harness.server.channel("eng", &format!("new{}", at.signum() + 1));
        harness.server.put(&channel, &harness.bot);
        harness.alice.add(&channel, &harness.bob);
        harness.server.post_with(&channel, &harness.alice, &join);
    }
    tokio::time::sleep(Duration::from_millis(500)).await;
    asked.push(harness.alice.post(&harness.ops, "!whoami"));
    harness.each_once(&asked).await
}
