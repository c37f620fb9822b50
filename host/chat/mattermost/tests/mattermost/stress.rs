//! Stress test: five hundred commands over a connection that is cut a hundred times are answered once each.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use wardroom_fake_mattermost::proxy::{FaultLimits, Proxy};

use crate::harness::{Harness, until_for};

#[tokio::test]
async fn five_hundred_commands_during_a_hundred_cuts() -> Result<()> {
    let seed = std::env::var("WARDROOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let harness = Harness::new().await?;
    let proxy = Proxy::new(harness.server.port(), seed).await?;
    let _host = harness.start_with(&harness.table(&proxy.url())).await?;
    let first = harness.alice.post(&harness.ops, "!whoami");
    harness.each_once(std::slice::from_ref(&first)).await?;
    let (lifetime, delay, blocked) = (Duration::from_millis(900), Duration::from_millis(8), Duration::from_millis(300));
    proxy.set(Some(FaultLimits { lifetime, delay, blocked }));
    let mut asked = vec![first];
    let began = Instant::now();
    while asked.len() < 500 || proxy.cuts() < 100 {
        if asked.len() < 500 {
            asked.push(harness.alice.post(&harness.ops, "!whoami"));
        }
        tokio::time::sleep(Duration::from_millis(40)).await;
        ensure!(began.elapsed() < Duration::from_secs(240), "seed {seed}: only {} connections were cut", proxy.cuts());
    }
    let cuts = proxy.cuts();
    proxy.set(None);
    until_for(Duration::from_secs(180), "every answer", || {
        asked.iter().all(|event| !harness.bot.replies(event).is_empty())
    })
    .await?;
    harness.still_once(&asked).await?;
    ensure!(asked.len() == 500 && cuts >= 100, "seed {seed}: {} commands, {cuts} cuts", asked.len());
    Ok(())
}
