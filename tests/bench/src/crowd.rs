//! `ten actions of ten people`: the longest time from a message to its closing line, without the time of the run, while
//! the homeserver limits the bot.
//!
//! A real Synapse with its default limits (ten messages at once, then one per five seconds), and a release build of the
//! host. Each second another person starts a deployment of another app. Its run lasts two seconds.
//! Invariant: each action gets one closing line; otherwise the bench fails.

use std::{
    collections::HashMap,
    path::Path,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use wardroom_tests::{
    matrix_user::{MatrixUser, fresh},
    synapse::Limits,
};

use crate::{
    figure::{Against, Figure, Unit},
    homeserver::{Client, Homeserver},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "ten actions of ten people, slowest closing line";

/// The maximum time, in seconds.
const MOST: f64 = 5.0;
const PEOPLE: usize = 10;
/// The time between two actions.
const BETWEEN: Duration = Duration::from_secs(1);
/// The time that a run lasts, in seconds.
const RUN: u32 = 2;

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let slowest = tokio.block_on(run(scene.host_with_chat()?, &scene.guests))?;
    Ok(Figure { name: NAME, measured: slowest, unit: Unit::Seconds, against: Against::Limit(MOST) })
}

/// Returns the longest time from a message to its closing line, without the time of the run, in seconds.
async fn run(program: &Path, guests: &Path) -> Result<f64> {
    let server = Homeserver::open(program, Limits::Default, 1, &scene::deployments(guests, PEOPLE, RUN)).await?;
    let room = &server.rooms[0];
    let mut people = Vec::with_capacity(PEOPLE);
    for number in 0..PEOPLE {
        let person = MatrixUser::new(&server.synapse.url(), &fresh(&format!("person{number}"))).await?;
        person.join(room).await?;
        people.push(person);
    }
    let mut client = Client::start(server.alice.clone()).await?;
    let ask = async {
        let mut tick = tokio::time::interval(BETWEEN);
        let mut asked = Vec::with_capacity(PEOPLE);
        for (number, person) in people.iter().enumerate() {
            tick.tick().await;
            let at = Instant::now();
            person.say(room, &format!("!deploy a{number} staging 1.0.1")).await?;
            asked.push(at);
        }
        anyhow::Ok(asked)
    };
    let watch = async {
        let mut closed: HashMap<usize, Instant> = HashMap::new();
        while closed.len() < PEOPLE {
            let (number, at) = closing(&server, &mut client).await?;
            ensure!(closed.insert(number, at).is_none(), "the action of person {number} got two closing lines");
        }
        anyhow::Ok((closed, client))
    };
    let (asked, (closed, mut client)) = tokio::try_join!(ask, watch)?;
    // A second closing line would be sent before the answer to a later command.
    let barrier = server.alice.say(room, "!whoami").await?;
    let is_closing = |text: &str| text.contains("deployed version");
    let next = client.wait("answer", |arrived| {
        server.is_of_bot(&arrived.event) && (arrived.related() == Some(&barrier) || is_closing(arrived.text()))
    });
    let next = next.await?;
    ensure!(!is_closing(next.text()), "an action got two closing lines: {}", next.text());
    let run = Duration::from_secs(RUN.into());
    let late = asked.iter().enumerate().map(|(number, at)| (closed[&number] - *at).saturating_sub(run).as_secs_f64());
    Ok(late.fold(0.0, f64::max))
}

/// Waits for the next closing line. Returns the number of its app, and the time.
async fn closing(server: &Homeserver, client: &mut Client) -> Result<(usize, Instant)> {
    let closing = client
        .wait("closing line", |arrived| server.is_of_bot(&arrived.event) && arrived.text().contains("deployed version"))
        .await?;
    let app =
        closing.text().split(|c: char| !c.is_alphanumeric()).find_map(|word| word.strip_prefix('a')?.parse().ok());
    Ok((app.with_context(|| format!("no app in `{}`", closing.text()))?, closing.at))
}
