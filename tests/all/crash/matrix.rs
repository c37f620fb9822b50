//! A deployment in a real Matrix room with a crash at each point around reading and sending: people see each message
//! once, and the card from before the crash is updated after it.

use std::{io::Write as _, time::Instant};

use anyhow::{Context as _, Result, ensure};
use tokio::task::JoinSet;
use wardroom_tests::{
    proxy::{HttpProxy, Withheld},
    synapse::Synapse,
};

use super::{points::around_reading_and_sending, random::one_of_each_name};
use crate::live_matrix::scene::{Scene, body, is_reaction, thread_of};

/// The number of rooms that are used in parallel, each for one crash point after the other.
const ROOMS: usize = 3;

/// Returns a command with a unique version.
fn command(number: usize) -> String {
    format!("!deploy cms staging 1.0.{number}")
}

fn deployed(number: usize) -> String {
    format!("deployed version 1.0.{number} to staging")
}

/// Checks that each message of a command was sent once.
async fn seen_once(scene: &Scene, command: &str, number: usize) -> Result<()> {
    let events = scene.alice.events(&scene.room).await?;
    // The acknowledgement is no row of the outbox, so a crash can lose it.
    for (emoji, least) in [("👀", 0), ("✅", 1)] {
        let reactions = events.iter().filter(|event| is_reaction(event, command, emoji)).count();
        ensure!((least..=1).contains(&reactions), "{emoji} {reactions} times");
    }
    let said = scene.said_by_bot().await?;
    let own: Vec<_> = said.iter().filter(|event| thread_of(event) == Some(command)).collect();
    let words: Vec<&str> = own.iter().map(|event| body(event)).collect();
    ensure!(words.len() == 1 && words[0].contains(&deployed(number)), "expected one closing line: {words:#?}");
    let runs = scene.host.runs().iter().filter(|version| **version == format!("1.0.{number}")).count();
    ensure!(runs == 1, "started {runs} times");
    Ok(())
}

/// Returns the crash points around reading and sending in a deployment without a crash.
async fn points() -> Result<Vec<String>> {
    let mut scene = Scene::open(Synapse::shared().await?).await?;
    scene.host.kill();
    scene.host.start_with_crash_at(None)?;
    let event = scene.alice.say(&scene.room, &command(0)).await?;
    scene.answer(&event, &deployed(0)).await?;
    scene.reaction(&event, "✅").await?;
    scene.barrier().await?;
    seen_once(&scene, &event, 0).await?;
    Ok(around_reading_and_sending(&scene.host.crash_points()))
}

/// Crashes at a point of a deployment and starts again. Returns whether the point was reached.
async fn crash_at(scene: &mut Scene, point: &str, number: usize) -> Result<bool> {
    scene.host.start_with_crash_at(Some(point))?;
    let event = scene.alice.say(&scene.room, &command(number)).await?;
    // If the point is not reached, kill the host after the answer.
    let crashed = scene.crashed(&event, &deployed(number)).await?;
    scene.host.kill();
    scene.host.start()?;
    scene.answer(&event, &deployed(number)).await?;
    scene.reaction(&event, "✅").await?;
    scene.barrier().await?;
    let seen = seen_once(scene, &event, number).await;
    scene.host.kill();
    seen.with_context(|| format!("killed at the crash point {point}, crashed: {crashed}"))?;
    Ok(crashed)
}

#[tokio::test(flavor = "multi_thread")]
async fn people_see_each_message_once_after_a_crash_at_each_point() -> Result<()> {
    let began = Instant::now();
    let points = points().await?;
    ensure!(points.len() >= 10, "too few crash points: {points:#?}");
    // Test a sample of the points. The test for Mattermost covers all of them.
    let points = one_of_each_name(&points);
    let mut rooms = JoinSet::new();
    for room in 0..ROOMS {
        let mine: Vec<(usize, String)> = points.iter().cloned().enumerate().skip(room).step_by(ROOMS).collect();
        rooms.spawn(async move {
            let mut scene = Scene::open(Synapse::shared().await?).await?;
            scene.barrier().await?;
            scene.host.kill();
            let mut crashed = 0;
            for (number, point) in mine {
                crashed += usize::from(crash_at(&mut scene, &point, number).await?);
            }
            anyhow::Ok(crashed)
        });
    }
    let crashed: usize = rooms.join_all().await.into_iter().collect::<Result<Vec<_>>>()?.into_iter().sum();
    let took = began.elapsed().as_secs();
    let _ =
        writeln!(std::io::stderr(), "a deployment in a Matrix room: {crashed} of {} points in {took} s", points.len());
    ensure!(crashed * 4 >= points.len() * 3, "too few crash points were reached: {crashed} of {}", points.len());
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancel_before_a_crash_cancels_no_other_job_after_it() -> Result<()> {
    let synapse = Synapse::shared().await?;
    let proxy = HttpProxy::new(synapse.port()).await?;
    let mut scene = Scene::open_at(synapse, &proxy.url()).await?;
    // The first run ends only because it is cancelled.
    scene.host.set_duration(600)?;
    let first = scene.alice.say(&scene.room, &command(1)).await?;
    scene.host.wait_for_a_run().await?;
    scene.host.set_duration(6)?;
    // The job is cancelled and ends, but no message about it reaches the homeserver.
    proxy.withhold(Withheld::Sends);
    let cancel = scene.alice.say(&scene.room, "!cancel").await?;
    scene.host.wait_for_end("cancelled").await?;
    let second = scene.alice.say(&scene.room, &command(2)).await?;
    scene.host.wait_for_runs(2).await?;
    scene.host.kill();
    proxy.withhold(Withheld::Nothing);
    scene.host.start()?;
    // Another job is now the only one that `cancel` could mean.
    scene.answer(&second, &deployed(2)).await?;
    scene.answer(&first, "was cancelled").await?;
    scene.answer(&cancel, "is cancelled").await?;
    scene.barrier().await?;
    ensure!(scene.answers(&cancel, "").await? == 1, "answered once");
    Ok(())
}
