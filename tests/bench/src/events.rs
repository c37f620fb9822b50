//! `events of a query` and `events of an action`: the number of events that the bot sends to a room.
//!
//! A real Synapse and a release build of the host. The action deploys with a local command that lasts two seconds.

use std::{cell::Cell, path::Path};

use anyhow::Result;
use wardroom_tests::synapse::Limits;

use crate::{
    figure::{Against, Figure, Unit},
    homeserver::{Arrived, Client, Homeserver},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "events of a query";
const NAME_ACTION: &str = "events of an action of two seconds";

/// The maximum number of events of a query, and of an action.
const MOST: [f64; 2] = [1.0, 3.0];

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let counts = tokio.block_on(run(scene.host_with_chat()?, &scene.guests))?;
    let names = [NAME, NAME_ACTION];
    let figures = names.into_iter().zip(counts).zip(MOST).map(|((name, count), most)| Figure {
        name,
        measured: count as f64,
        unit: Unit::Count,
        against: Against::Limit(most),
    });
    Ok(figures.collect())
}

/// Returns the number of the bot's events for a query and for an action.
async fn run(program: &Path, guests: &Path) -> Result<[usize; 2]> {
    let server = Homeserver::open(program, Limits::None, 1, &scene::deployments(guests, 1, 2)).await?;
    let mut client = Client::start(server.alice.clone()).await?;
    let query = count(&server, &mut client, "!where a0", "staging").await?;
    let action = count(&server, &mut client, "!deploy a0 staging 1.0.1", "deployed version 1.0.1").await?;
    Ok([query, action])
}

/// Sends a command and waits for its `end`. Returns the number of the bot's events until the bot has answered another
/// command, without this answer.
async fn count(server: &Homeserver, client: &mut Client, command: &str, end: &str) -> Result<usize> {
    let room = &server.rooms[0];
    let count = Cell::new(0);
    let is_of_bot = |arrived: &Arrived| {
        let is_of_bot = server.is_of_bot(&arrived.event);
        count.set(count.get() + usize::from(is_of_bot));
        is_of_bot
    };
    server.alice.say(room, command).await?;
    client.wait(end, |arrived| is_of_bot(arrived) && arrived.text().contains(end)).await?;
    let barrier = server.alice.say(room, "!whoami").await?;
    client.wait("answer", |arrived| is_of_bot(arrived) && arrived.related() == Some(&barrier)).await?;
    Ok(count.get() - 1)
}
