//! What a person is asked, and who may answer; what changed while a job slept.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wardroom::port::{
    Outcome,
    store::{EntryKind, JobOutcome, Phase},
};

use super::{
    harness::World,
    replay::{ALL, config},
};

const SCRIPT: &str = "script-app cms staging 1.0 trigger:cms/staging:1.0 wait";
/// More calls of ports than a job of this script needs.
const MOST: u32 = 60;

/// A world that died between the intent of an effect and its result, with so many runs started.
fn in_doubt(runs: usize) -> Result<World> {
    // Rooms are told at the same time, so the same moment is not always at the same call.
    for calls in (1..MOST).cycle().take(10 * MOST as usize) {
        let world = World::new(Some(Outcome::Succeeded))?;
        world.live(&config(ALL), &[SCRIPT], Some(calls))?;
        let Some(job) = world.jobs().pop() else { continue };
        let last = world.entries(&job.id)?.pop().map(|sealed| sealed.entry.kind);
        if last == Some(EntryKind::Intent) && world.pipelines.runs().len() == runs {
            return Ok(world);
        }
    }
    anyhow::bail!("no moment leaves {runs} runs in doubt")
}

fn only(world: &World) -> Result<wardroom::port::store::JobRow> {
    world.jobs().pop().context("a job")
}

fn said(world: &World, words: &str) -> bool {
    world.chat.words().iter().any(|text| text.contains(words))
}

#[test]
fn what_cannot_be_known_is_asked_and_whoever_may_says_that_it_was_done() -> Result<()> {
    let world = in_doubt(1)?;
    world.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(world.live(&config, &[], None)?);
    let job = only(&world)?;
    ensure!(job.stand.phase == Phase::Asked, "{:?}", job.stand);
    let asked = format!("say `job {} assume done` if it did, or `job {} again` if it did not", job.id, job.id);
    ensure!(said(&world, &asked) && said(&world, "cannot be known: its log is gone"), "{:?}", world.chat.words());
    // A second start asks once.
    ensure!(world.live(&config, &["jobs", "bob> job", &format!("bob> job {} again", job.id)], None)?);
    ensure!(world.chat.words().iter().filter(|text| text.contains(&asked)).count() == 1);
    ensure!(said(&world, "asks whether pipelines.trigger cms/staging 1.0 happened"), "{:?}", world.chat.words());
    ensure!(only(&world)?.stand.phase == Phase::Asked, "bob may not answer");
    ensure!(world.live(&config, &["job assume done"], None)?);
    let end = only(&world)?.end.context("it is over")?;
    ensure!(end.outcome == JobOutcome::Succeeded && end.summary == "ok succeeded", "{end:?}");
    ensure!(world.pipelines.runs().len() == 1);
    ensure!(said(&world, "is taken as done"));
    world.verify()
}

#[test]
fn what_people_say_did_not_happen_is_done_again_once() -> Result<()> {
    let world = in_doubt(0)?;
    world.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(world.live(&config, &[], None)?);
    let job = only(&world)?;
    ensure!(world.live(&config, &[&format!("job {} again", job.id)], None)?);
    let end = only(&world)?.end.context("it is over")?;
    ensure!(end.outcome == JobOutcome::Succeeded && end.summary == "ok succeeded", "{end:?}");
    ensure!(world.pipelines.runs().len() == 1);
    world.verify()
}

#[test]
fn a_job_that_asks_can_be_called_off() -> Result<()> {
    let world = in_doubt(1)?;
    world.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(world.live(&config, &[], None)?);
    ensure!(world.live(&config, &["bob> cancel", "cancel"], None)?);
    let end = only(&world)?.end.context("it is over")?;
    ensure!(end.outcome == JobOutcome::Unknown, "{end:?}");
    world.verify()
}

/// A world in which a job sleeps that triggers when it wakes.
fn asleep(script: &str) -> Result<World> {
    let world = World::new(Some(Outcome::Succeeded))?;
    world.live_for(&config(ALL), &[script], None, Duration::from_millis(150))?;
    ensure!(only(&world)?.stand.phase == Phase::Time, "{:?}", only(&world)?);
    Ok(world)
}

const SLEEPER: &str = "script-app cms staging 1.0 set:k:v after:700 sleep trigger:cms/staging:1.0 get:k";

#[test]
fn a_plugin_that_was_removed_meanwhile_may_do_nothing_and_the_room_is_told() -> Result<()> {
    let world = asleep(SLEEPER)?;
    let whole = config(ALL);
    let without = whole.split("[plugin.scripted]").next().context("a configuration")?;
    ensure!(world.live(without, &[], None)?);
    let end = only(&world)?.end.context("it is over")?;
    ensure!(world.pipelines.runs().is_empty(), "nothing is done without a grant");
    ensure!(end.summary.starts_with("ok ok reached denied denied"), "it wakes, and its calls are refused: {end:?}");
    ensure!(end.summary.contains("Refused: pipelines.trigger cms/staging version 1.0"), "{end:?}");
    world.verify()
}

#[test]
fn a_right_that_was_taken_away_meanwhile_is_gone() -> Result<()> {
    let roles = |environments: &str| {
        config(ALL).replace("admins = [\"operator\"]", "admins = [\"root\"]")
            + format!(
                "[role.r]\nmembers = [\"operator\"]\ncommands = [\"*\"]\napps = [\"*\"]\nenvironments = {environments}\n"
            )
            .as_str()
    };
    let world = World::new(Some(Outcome::Succeeded))?;
    world.live_for(&roles("[\"staging\"]"), &[SLEEPER], None, Duration::from_millis(150))?;
    ensure!(only(&world)?.stand.phase == Phase::Time);
    ensure!(world.live(&roles("[\"production\"]"), &[], None)?);
    let end = only(&world)?.end.context("it is over")?;
    ensure!(world.pipelines.runs().is_empty() && end.summary.contains("role: no role lets operator run"), "{end:?}");
    world.verify()
}

#[test]
fn a_clock_that_is_set_neither_fires_a_timer_nor_delays_it() -> Result<()> {
    for jump in [86_400, -86_400] {
        let world = World::new(Some(Outcome::Succeeded))?;
        let clock = world.clock.clone();
        let began = std::time::Instant::now();
        let setter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            clock.set(jump);
        });
        ensure!(world.live(&config(ALL), &["script after:900 sleep"], None)?);
        let took = began.elapsed();
        let _ = setter.join();
        ensure!((Duration::from_millis(850)..Duration::from_secs(6)).contains(&took), "{jump}: {took:?}");
        ensure!(only(&world)?.end.context("it is over")?.summary == "ok reached");
    }
    Ok(())
}

#[test]
fn across_a_restart_the_clock_on_the_wall_counts() -> Result<()> {
    let world = asleep("script after:3600000 sleep")?;
    // Two hours later, as the wall says, its time has come.
    world.clock.set(7200);
    ensure!(world.live(&config(ALL), &[], None)?);
    ensure!(only(&world)?.end.context("it is over")?.summary == "ok reached");
    world.verify()
}

#[test]
fn what_came_too_late_is_said_and_not_done() -> Result<()> {
    let world = World::new(Some(Outcome::Succeeded))?;
    ensure!(world.live(&config(ALL), &["late> script set:a:b", "script set:c:d"], None)?);
    ensure!(
        said(&world, "I was away when this was said, 1 h 0 min ago, so it is not done now."),
        "{:?}",
        world.chat.words()
    );
    ensure!(world.jobs().len() == 1 && world.jobs()[0].line == "script set:c:d");
    let patient = config(ALL).replace("[bot.marvin.memory]", "[bot.marvin]\nmax_age = \"2h\"\n\n[bot.marvin.memory]");
    ensure!(world.live(&patient, &["late> script set:e:f"], None)?);
    ensure!(world.jobs().len() == 2);
    world.verify()
}

#[test]
fn what_is_over_for_long_is_removed_and_the_chain_holds() -> Result<()> {
    let world = World::new(Some(Outcome::Succeeded))?;
    ensure!(world.live(&config(ALL), &[SCRIPT, "whoami", "nonsense"], None)?);
    world.live_for(&config(ALL), &["script after:9000000000 sleep"], None, Duration::from_millis(150))?;
    ensure!(world.jobs().len() == 2);
    // A hundred days later. What is open stays.
    world.clock.set(100 * 86_400);
    world.live_for(&config(ALL), &[], None, Duration::from_millis(500))?;
    let left = world.jobs();
    ensure!(left.len() == 1 && left[0].end.is_none(), "{left:?}");
    ensure!(world.store.all_lines().is_empty());
    world.verify()
}
