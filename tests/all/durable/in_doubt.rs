//! Tests effects in doubt (the question and the people who may answer it) and changes while a job waits for a time.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use wardroom::{
    model::Outcome,
    store::{EntryKind, JobOutcome, JobPhase},
};

use super::{
    harness::Harness,
    replay::{ALL, config},
};

const SCRIPT: &str = "script-app cms staging 1.0 trigger:cms/staging:1.0 wait";
/// A number of calls of adapters and store that is larger than a job of this script needs.
const MOST: u32 = 60;

/// Returns a harness that crashed between the intent and the result of an effect, with `runs` started runs.
fn in_doubt(runs: usize) -> Result<Harness> {
    // Messages are sent concurrently, so the number of the call varies. Try until a crash hits it.
    for calls in (1..MOST).cycle().take(10 * MOST as usize) {
        let harness = Harness::new(Some(Outcome::Succeeded))?;
        harness.run(&config(ALL), &[SCRIPT], Some(calls))?;
        let Some(job) = harness.jobs().pop() else { continue };
        let last = harness.entries(&job.id)?.pop().map(|sealed| sealed.entry.kind);
        if last == Some(EntryKind::Intent) && harness.pipelines.runs().len() == runs {
            return Ok(harness);
        }
    }
    anyhow::bail!("no crash leaves {runs} pipeline runs in doubt")
}

fn only(harness: &Harness) -> Result<wardroom::store::JobRow> {
    harness.jobs().pop().context("a job")
}

fn said(harness: &Harness, words: &str) -> bool {
    harness.chat.words().iter().any(|text| text.contains(words))
}

#[test]
fn an_effect_in_doubt_can_be_assumed_done() -> Result<()> {
    let harness = in_doubt(1)?;
    harness.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(harness.run(&config, &[], None)?);
    let job = only(&harness)?;
    ensure!(job.status.phase == JobPhase::InDoubt, "{:?}", job.status);
    let asked = format!("run `!job {0} assume done` if it did, or `!job {0} again` if it did not", job.id);
    ensure!(said(&harness, &asked) && said(&harness, "happened: its log is gone"), "{:?}", harness.chat.words());
    // A restart does not ask again.
    ensure!(harness.run(&config, &["jobs", "bob> job", &format!("bob> job {} again", job.id)], None)?);
    ensure!(harness.chat.words().iter().filter(|text| text.contains(&asked)).count() == 1);
    ensure!(
        said(&harness, "waits for an answer: did pipelines.trigger cms/staging 1.0 happen?"),
        "{:?}",
        harness.chat.words()
    );
    ensure!(only(&harness)?.status.phase == JobPhase::InDoubt, "bob may not answer");
    ensure!(harness.run(&config, &["job assume done"], None)?);
    let end = only(&harness)?.end.context("the job is finished")?;
    ensure!(end.outcome == JobOutcome::Succeeded && end.summary == "| ok succeeded", "{end:?}");
    ensure!(harness.pipelines.runs().len() == 1);
    ensure!(said(&harness, "is assumed to have happened"));
    harness.verify()
}

#[test]
fn an_effect_in_doubt_can_be_repeated_once() -> Result<()> {
    let harness = in_doubt(0)?;
    harness.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(harness.run(&config, &[], None)?);
    let job = only(&harness)?;
    ensure!(harness.run(&config, &[&format!("job {} again", job.id)], None)?);
    let end = only(&harness)?.end.context("the job is finished")?;
    ensure!(end.outcome == JobOutcome::Succeeded && end.summary == "| ok succeeded", "{end:?}");
    ensure!(harness.pipelines.runs().len() == 1);
    harness.verify()
}

#[test]
fn a_job_in_doubt_can_be_cancelled() -> Result<()> {
    let harness = in_doubt(1)?;
    harness.pipelines.cannot_say(Some("its log is gone"));
    let config = config(ALL);
    ensure!(harness.run(&config, &[], None)?);
    ensure!(harness.run(&config, &["bob> cancel", "cancel"], None)?);
    let end = only(&harness)?.end.context("the job is finished")?;
    ensure!(end.outcome == JobOutcome::Unknown, "{end:?}");
    harness.verify()
}

/// Returns whether the newest job waits for a time.
fn waits_for_time(harness: &Harness) -> bool {
    harness.jobs().last().is_some_and(|job| job.status.phase == JobPhase::Time)
}

/// Returns a harness with a job that waited for a time when the host crashed, and then triggers a pipeline.
fn asleep(script: &str) -> Result<Harness> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    harness.run_until(&config(ALL), &[script], waits_for_time)?;
    // The timer has expired at the next start.
    harness.clock.set(7200);
    Ok(harness)
}

const SLEEPER: &str = "script-app cms staging 1.0 set:k:v after:3600000 sleep trigger:cms/staging:1.0 get:k";

#[test]
fn calls_of_a_removed_plugin_are_denied_and_reported() -> Result<()> {
    let harness = asleep(SLEEPER)?;
    let whole = config(ALL);
    let without = whole.split("[plugin.scripted]").next().context("a configuration")?;
    ensure!(harness.run(without, &[], None)?);
    let end = only(&harness)?.end.context("the job is finished")?;
    ensure!(harness.pipelines.runs().is_empty(), "no effect happens without a grant");
    ensure!(end.summary.starts_with("| ok ok reached denied denied"), "it wakes, and its calls are refused: {end:?}");
    ensure!(end.summary.contains("Refused: pipelines.trigger cms/staging version 1.0"), "{end:?}");
    harness.verify()
}

#[test]
fn a_right_that_was_removed_during_a_wait_is_gone() -> Result<()> {
    let roles = |environments: &str| {
        config(ALL).replace("admins = [\"operator\"]", "admins = [\"root\"]")
            + format!(
                "[role.r]\nmembers = [\"operator\"]\ncommands = [\"*\"]\napps = [\"*\"]\nenvironments = {environments}\n"
            )
            .as_str()
    };
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    harness.run_until(&roles("[\"staging\"]"), &[SLEEPER], waits_for_time)?;
    harness.clock.set(7200);
    ensure!(harness.run(&roles("[\"production\"]"), &[], None)?);
    let end = only(&harness)?.end.context("the job is finished")?;
    ensure!(harness.pipelines.runs().is_empty() && end.summary.contains("role: no role lets operator run"), "{end:?}");
    harness.verify()
}

#[test]
fn setting_the_wall_clock_neither_fires_nor_delays_a_timer() -> Result<()> {
    for jump in [86_400, -86_400] {
        let harness = Harness::new(Some(Outcome::Succeeded))?;
        let clock = harness.clock.clone();
        let began = std::time::Instant::now();
        let setter = std::thread::spawn(move || {
            std::thread::sleep(Duration::from_millis(200));
            clock.set(jump);
        });
        ensure!(harness.run(&config(ALL), &["script after:900 sleep"], None)?);
        let took = began.elapsed();
        let _ = setter.join();
        ensure!(took >= Duration::from_millis(850), "{jump}: {took:?}");
        ensure!(only(&harness)?.end.context("the job is finished")?.summary == "| ok reached");
    }
    Ok(())
}

#[test]
fn a_timer_uses_the_wall_clock_across_a_restart() -> Result<()> {
    let harness = asleep("script after:3600000 sleep")?;
    ensure!(harness.run(&config(ALL), &[], None)?);
    ensure!(only(&harness)?.end.context("the job is finished")?.summary == "| ok reached");
    harness.verify()
}

#[test]
fn a_message_older_than_max_age_is_refused() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    ensure!(harness.run(&config(ALL), &["late> script set:a:b", "script set:c:d"], None)?);
    ensure!(
        said(&harness, "Nothing was done: your command is 1 h old, because the host was unavailable."),
        "{:?}",
        harness.chat.words()
    );
    ensure!(harness.jobs().len() == 1 && harness.jobs()[0].line == "script set:c:d");
    let patient = config(ALL).replace("[bot.marvin.memory]", "[bot.marvin]\nmax_age = \"2h\"\n\n[bot.marvin.memory]");
    ensure!(harness.run(&patient, &["late> script set:e:f"], None)?);
    ensure!(harness.jobs().len() == 2);
    harness.verify()
}

#[test]
fn old_jobs_are_removed_and_the_chain_stays_valid() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    ensure!(harness.run(&config(ALL), &[SCRIPT, "whoami", "nonsense"], None)?);
    harness.run_until(&config(ALL), &["script after:9000000000 sleep"], waits_for_time)?;
    ensure!(harness.jobs().len() == 2);
    // Set the clock a hundred days ahead. An open job is not removed.
    harness.clock.set(100 * 86_400);
    harness
        .run_until(&config(ALL), &[], |harness| harness.jobs().len() == 1 && harness.store.all_lines().is_empty())?;
    let left = harness.jobs();
    ensure!(left[0].end.is_none(), "{left:?}");
    harness.verify()
}

#[test]
fn a_job_is_held_after_the_host_ended_repeatedly_while_it_ran() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = format!("{}\n[plugin.scripted.limits]\ncpu = \"60s\"\nwall = \"10m\"\n", config(ALL));
    let is_held = || harness.jobs().first().is_some_and(|job| job.status.phase == JobPhase::Held);
    harness.run_until(&config, &["script spin"], |harness| !harness.jobs().is_empty())?;
    // A life of the host that ends before the job runs does not count, so on a slow machine each life is longer.
    for life in 0..60 {
        if is_held() {
            break;
        }
        harness.run_for(&config, &[], None, Duration::from_millis(300 + 20 * life))?;
    }
    let job = &harness.jobs()[0];
    ensure!(job.status.about == "held: the host ended 9 times in a row while the job ran", "{:?}", job.status);
    ensure!(harness.run(&config, &[&format!("cancel {}", job.id)], None)?);
    harness.verify()
}
