//! Sends five hundred commands over a connection that breaks more than a hundred times: each is answered once.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use wardroom_fake_mattermost::proxy::{FaultLimits, Proxy};
use wardroom_tests::synapse::Synapse;

use super::scene::{Scene, thread_of};

const COMMANDS: usize = 500;
const CUTS: u64 = 100;

/// Returns the number of the bot's answers to each command.
async fn answers(scene: &Scene) -> Result<BTreeMap<String, usize>> {
    let mut count = BTreeMap::new();
    for event in scene.said_by_bot().await? {
        if let Some(root) = thread_of(&event) {
            *count.entry(root.to_owned()).or_default() += 1;
        }
    }
    Ok(count)
}

#[tokio::test(flavor = "multi_thread")]
async fn five_hundred_commands_during_a_hundred_cuts() -> Result<()> {
    let seed = std::env::var("WARDROOM_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(20_261_121);
    let synapse = Synapse::shared().await?;
    let proxy = Proxy::new(synapse.port(), seed).await?;
    let scene = Scene::open_at(synapse, &proxy.url()).await?;
    scene.barrier().await?;
    let (lifetime, delay, blocked) = (Duration::from_millis(700), Duration::from_millis(8), Duration::from_millis(300));
    proxy.set(Some(FaultLimits { lifetime, delay, blocked }));
    let mut asked = Vec::with_capacity(COMMANDS);
    let began = Instant::now();
    while asked.len() < COMMANDS || proxy.cuts() < CUTS {
        if asked.len() < COMMANDS {
            asked.push(scene.alice.say(&scene.room, "!whoami").await?);
            // Pause regularly, because a sync returns a limited number of events.
            if asked.len() % 20 == 0 {
                scene.alice.events(&scene.room).await?;
            }
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
        ensure!(began.elapsed() < Duration::from_secs(480), "seed {seed}: only {} connections were cut", proxy.cuts());
    }
    let cuts = proxy.cuts();
    proxy.set(None);
    let began = Instant::now();
    loop {
        let answered = answers(&scene).await?;
        let left = asked.iter().filter(|event| !answered.contains_key(*event)).count();
        if left == 0 {
            break;
        }
        ensure!(
            began.elapsed() < Duration::from_secs(180),
            "seed {seed}: {left} commands have no answer\n{}",
            scene.host.log()
        );
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    scene.barrier().await?;
    let answered = answers(&scene).await?;
    for event in &asked {
        let count = answered.get(event).context("the command was answered before")?;
        ensure!(*count == 1, "seed {seed}: {event} was answered {count} times");
    }
    ensure!(cuts >= CUTS, "seed {seed}: {cuts} connections were cut");
    Ok(())
}
