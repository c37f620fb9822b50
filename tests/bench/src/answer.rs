//! `answer in an idle room`: the time from a person's query until this person's client has received the answer.
//!
//! A real Synapse without rate limits, and a release build of the host. Bare sends of the same person to a room without
//! the bot alternate with the queries, so that a disturbance affects both. The answer is a second send, and the
//! homeserver passes each message on by a sync, so twice the bare send is the floor.
//! Invariant: each query gets one answer, in its thread.

use std::{
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Result, ensure};
use wardroom_tests::synapse::Limits;

use crate::{
    figure::{Against, Figure, Unit, milliseconds, percentile},
    homeserver::{Client, Homeserver},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "answer in an idle room, median";
const NAME_SLOWEST: &str = "answer in an idle room, 99th percentile";

/// The maximum ratio to the bare send: of the medians, and of the 99th percentiles.
const TIMES: [f64; 2] = [2.3, 3.5];
/// The number of measured queries, and of bare sends.
const ROUNDS: usize = 300;
/// The number of queries before the measured ones.
const WARM_UP: usize = 20;
/// The pause before each query, in which the host ends its work for the last one.
const PAUSE: Duration = Duration::from_millis(20);

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let (bare, answers) = tokio.block_on(run(scene.host_with_chat()?, &scene.guests.join("bench.wasm")))?;
    let figure = |name, share: f64, times| Figure {
        name,
        measured: percentile(&answers, share),
        unit: Unit::Milliseconds,
        against: Against::Bare { measured: percentile(&bare, share), times },
    };
    Ok(vec![figure(NAME, 0.5, TIMES[0]), figure(NAME_SLOWEST, 0.99, TIMES[1])])
}

/// Returns the times of the bare sends and of the answers, in milliseconds.
async fn run(program: &Path, module: &Path) -> Result<(Vec<f64>, Vec<f64>)> {
    let server = Homeserver::open(program, Limits::None, 1, &scene::plugin("bench", module)).await?;
    let (alice, room) = (&server.alice, &server.rooms[0]);
    let mut client = Client::start(alice.clone()).await?;
    let (mut bare, mut answers) = (Vec::new(), Vec::new());
    for round in 0..WARM_UP + ROUNDS {
        tokio::time::sleep(PAUSE).await;
        let send = server.bare_sends(1).await?;
        tokio::time::sleep(PAUSE).await;
        let sent = Instant::now();
        let answer = client.wait("answer", |arrived| server.is_of_bot(&arrived.event));
        let (query, answer) = tokio::join!(alice.say(room, "!ping"), answer);
        let (query, answer) = (query?, answer?);
        ensure!(answer.related() == Some(&query) && answer.text().contains("pong"), "the answer is {}", answer.event);
        if round >= WARM_UP {
            bare.extend(send);
            answers.push(milliseconds(answer.at.duration_since(sent)));
        }
    }
    Ok((bare, answers))
}
