//! `first sign`: the time from a person's command until this person's client has received the bot's 👀.
//!
//! A real Synapse without rate limits, and a release build of the host in one room or in ten. The person sends messages
//! one after the other to a room without the bot, which gives the time and the rate of bare sends; half of these sends
//! come after the commands. The commands are sent at a quarter of that rate, to the rooms in turn.
//! Invariant: each command gets one sign; otherwise the bench fails.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};
use tokio::time::MissedTickBehavior;
use wardroom_tests::synapse::Limits;

use crate::{
    figure::{Against, Figure, Unit, milliseconds, percentile},
    homeserver::{Client, Homeserver},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "first sign, one room, median";

/// The numbers of rooms, with the names of their figures.
const ROOMS: [(usize, [&str; 2]); 2] = [
    (1, [NAME, "first sign, one room, 99th percentile"]),
    (10, ["first sign, ten rooms, median", "first sign, ten rooms, 99th percentile"]),
];
/// The maximum ratio to the bare send: of the medians, and of the 99th percentiles.
const TIMES: [f64; 2] = [3.0, 6.0];
/// The number of bare messages, and of commands.
const MESSAGES: usize = 300;
/// The number of answers after which the bot counts as unlimited.
const UNLIMITED: usize = 30;
/// The rate of the commands, as a share of the bare rate.
const SHARE: f64 = 0.25;
/// Timeout for all commands. A slow machine gets its commands at a slow rate.
const PATIENCE: Duration = Duration::from_secs(300);

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let program = scene.host_with_chat()?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let mut figures = Vec::new();
    for (rooms, names) in ROOMS {
        let (bare, signs) = tokio.block_on(run(program, &scene.guests.join("bench.wasm"), rooms))?;
        for ((name, share), times) in names.into_iter().zip([0.5, 0.99]).zip(TIMES) {
            let against = Against::Bare { measured: percentile(&bare, share), times };
            figures.push(Figure { name, measured: percentile(&signs, share), unit: Unit::Milliseconds, against });
        }
    }
    Ok(figures)
}

/// Returns the times of the bare sends and of the signs, in milliseconds.
async fn run(program: &Path, module: &Path, rooms: usize) -> Result<(Vec<f64>, Vec<f64>)> {
    let server = Homeserver::open(program, Limits::None, rooms, &scene::plugin("bench", module)).await?;
    let mut client = Client::start(server.alice.clone()).await?;
    // The bot assumes the homeserver's default limit, and leaves out signs near it, until the homeserver has accepted more
    // messages than this limit. The first action of each room fills the caches and opens all connections.
    let queries = server.rooms.iter().cycle().take(UNLIMITED).map(|room| (room, "!ping", "pong"));
    for (room, command, end) in queries.chain(server.rooms.iter().map(|room| (room, "!calls 1", "done"))) {
        server.alice.say(room, command).await?;
        client.wait(end, |arrived| server.is_of_bot(&arrived.event) && arrived.text().contains(end)).await?;
    }
    let mut bare = server.bare_sends(MESSAGES / 2).await?;
    let pause = Duration::from_secs_f64(bare.iter().sum::<f64>() / 1000.0 / bare.len() as f64 / SHARE);
    let send = async {
        let mut sent = Vec::with_capacity(MESSAGES);
        let mut tick = tokio::time::interval(pause);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for room in server.rooms.iter().cycle().take(MESSAGES) {
            tick.tick().await;
            let at = Instant::now();
            sent.push((server.alice.say(room, "!calls 1").await?, at));
        }
        anyhow::Ok(sent)
    };
    let watch = async {
        let mut seen: HashMap<String, Instant> = HashMap::new();
        while seen.len() < MESSAGES {
            let is_sign = |event: &serde_json::Value| {
                event["type"] == "m.reaction" && event["content"]["m.relates_to"]["key"] == "👀"
            };
            let sign =
                client.wait("sign", |arrived| server.is_of_bot(&arrived.event) && is_sign(&arrived.event)).await?;
            let command = sign.related().context("a reaction without a message")?.to_owned();
            ensure!(seen.insert(command, sign.at).is_none(), "a command got two signs");
        }
        anyhow::Ok(seen)
    };
    let both = tokio::time::timeout(PATIENCE, async { tokio::try_join!(send, watch) });
    let (sent, seen) = both.await.context("not every command got its sign in time")??;
    bare.extend(server.bare_sends(MESSAGES / 2).await?);
    let mut signs = Vec::with_capacity(MESSAGES);
    for (command, at) in sent {
        let Some(seen) = seen.get(&command) else { bail!("a command got no sign") };
        signs.push(milliseconds(seen.saturating_duration_since(at)));
    }
    Ok((bare, signs))
}
