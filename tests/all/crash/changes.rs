//! What an operator changes while a job waits: its plugin's bytes, its grants, its caller's role, its pipeline.
//!
//! Invariant: what is behind a job in its journal stays as it was; what is before it is judged by what holds now.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::port::store::{JobOutcome, Phase};

use super::{
    aftermath::{kept, live_until},
    broken::{CONFIG, PARKS, house, parked, started},
    life::{Life, kill_all, live},
};
use crate::{host::eventually, house::House, journal::Journal};

/// A job waits for a time, something is changed, and it goes on. Gives its outcome and all that was said.
fn changed(typed: &str, change: impl FnOnce(&House) -> Result<()>) -> Result<(JobOutcome, String, House)> {
    let house = house()?;
    let mut lives = vec![parked(&house, typed)?];
    change(&house)?;
    live_until(&house, &mut lives, |kept| kept.jobs[0].end.is_some())?;
    let kept = kept(&house)?;
    kept.all_over()?;
    kept.told_once(&lives)?;
    let said: Vec<&str> = lives.iter().flat_map(|life| &life.said).map(String::as_str).collect();
    let end = kept.jobs[0].end.as_ref().context("it is over")?;
    Ok((end.outcome, said.join("\n"), house))
}

fn configure(house: &House, from: &str, to: &str) -> Result<()> {
    ensure!(CONFIG.contains(from), "{from}");
    house.configure(&CONFIG.replace(from, to))
}

const GRANT: &str = r#"allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]"#;

#[test]
fn other_bytes_are_for_other_jobs() -> Result<()> {
    let replaced = |house: &House| Ok(fs::write(house.path("scripted.wasm"), crate::hostile::guest::harmless()?)?);
    let (outcome, said, house) = changed(PARKS, replaced)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&house) == ["1.0"]);
    let after = live(&house, PARKS, None)?;
    ensure!(after.said.iter().any(|line| line.contains("script-app")), "{after:#?}");
    ensure!(kept(&house)?.jobs.len() == 1, "the new bytes have no such command: {after:#?}");
    Ok(())
}

#[test]
fn bytes_that_do_not_load_are_for_nobody() -> Result<()> {
    let broken = |house: &House| Ok(fs::write(house.path("scripted.wasm"), "no module")?);
    let (outcome, said, house) = changed(PARKS, broken)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&house) == ["1.0"]);
    Ok(())
}

#[test]
fn a_plugin_that_is_gone_may_do_nothing_more() -> Result<()> {
    let start = CONFIG.find("[plugin.scripted]").context("its table")?;
    let (outcome, said, house) = changed(PARKS, |house| configure(house, &CONFIG[start..], ""))?;
    ensure!(said.contains("ok reached denied nothing") && said.contains("pipelines.trigger"), "{said}");
    ensure!(outcome == JobOutcome::Warnings && started(&house).is_empty(), "{outcome:?} {said}");
    Ok(())
}

#[test]
fn a_grant_that_is_gone_denies() -> Result<()> {
    let less = [
        // The plugin is loaded, and no rule fits.
        r#"allow  = [{ call = ["pipelines.trigger"], environment = ["other"] }, { call = ["pipelines.wait", "catalog.*", "store.*", "jobs.*"] }]"#,
        // It is not even loaded, and the job has its own bytes.
        r#"allow  = [{ call = ["pipelines.wait", "catalog.*"] }]"#,
    ];
    for less in less {
        let (outcome, said, house) = changed(PARKS, |house| configure(house, GRANT, less))?;
        ensure!(said.contains("ok reached denied nothing") && said.contains("Refused: pipelines.trigger"), "{said}");
        ensure!(outcome == JobOutcome::Warnings && started(&house).is_empty(), "{outcome:?} {said}");
    }
    Ok(())
}

#[test]
fn a_role_that_is_gone_denies() -> Result<()> {
    let role = |member: &str| {
        format!(
            "[role.scripter]\nmembers = [\"{member}\"]\ncommands = [\"script-app\"]\napps = [\"it\"]\nenvironments = [\"quick\"]\n"
        )
    };
    let with = |member: &str| CONFIG.replace("[environment.quick]", &format!("{}\n[environment.quick]", role(member)));
    let house = house()?;
    house.configure(&with("bob"))?;
    let first = live(&house, &format!("/as bob\n{PARKS}"), None)?;
    ensure!(kept(&house)?.jobs.iter().any(|job| job.stand.phase == Phase::Time), "{first:#?}");
    house.configure(&with("carol"))?;
    let mut lives = vec![first];
    live_until(&house, &mut lives, |kept| kept.jobs[0].end.is_some())?;
    let kept = kept(&house)?;
    kept.all_over()?;
    let summary = &kept.jobs[0].end.as_ref().context("it is over")?.summary;
    ensure!(summary.contains("denied nothing") && summary.contains("role"), "{summary}");
    ensure!(started(&house).is_empty());
    Ok(())
}

/// The block of one pipeline.
const PIPELINE: &str =
    "[app.it.deploy.quick]\nrun        = [\"./count.sh\", \"{version}\"]\nparameters = { version = '[0-9.]+' }\n";

#[test]
fn a_pipeline_that_is_gone_starts_nothing() -> Result<()> {
    let (outcome, said, house) = changed(PARKS, |house| configure(house, PIPELINE, ""))?;
    ensure!(
        said.contains("ok reached denied nothing") || said.contains("ok reached error:not-found nothing"),
        "{said}"
    );
    ensure!(started(&house).is_empty(), "{outcome:?} {said}");
    Ok(())
}

/// A house whose host died at a place of a command.
fn died(place: &str, script: &str) -> Result<(House, Vec<Life>)> {
    let house = house()?;
    house.script("count.sh", script)?;
    let life = live(&house, "script-app it quick 1.0 trigger:it/quick:1.0 wait\n", Some(place))?;
    ensure!(life.died(), "{life:#?}");
    Ok((house, vec![life]))
}

#[test]
fn a_run_of_a_pipeline_that_is_gone_is_not_known() -> Result<()> {
    let (house, mut lives) = died("before ended#1", "#!/bin/sh\necho \"$1\" >>started\n")?;
    configure(&house, PIPELINE, "")?;
    live_until(&house, &mut lives, |kept| kept.jobs[0].end.is_some())?;
    let kept = kept(&house)?;
    kept.all_over()?;
    kept.told_once(&lives)?;
    let end = kept.jobs[0].end.as_ref().context("it is over")?;
    ensure!(end.outcome == JobOutcome::Unknown, "{end:?}");
    ensure!(end.summary.contains("no longer configured"), "{end:?}");
    ensure!(started(&house) == ["1.0"]);
    Ok(())
}

/// What the room says to a job that asks, and how often the script is started then.
fn asked(place: &str, says: &str, starts: usize, outcome: JobOutcome) -> Result<()> {
    let (house, mut lives) = died(place, "#!/bin/sh\necho \"$1\" >>started\n")?;
    if place.starts_with("after start") {
        eventually("the run's start", || Ok(started(&house) == ["1.0"]))?;
    }
    // Nothing is on its way any more.
    kill_all(&house)?;
    configure(&house, PIPELINE, "")?;
    for _ in 0..2 {
        let life = live(&house, "", None)?;
        life.ended_well()?;
        lives.push(life);
    }
    let about = || format!("{lives:#?}");
    let open = kept(&house)?;
    ensure!(open.jobs[0].stand.phase == Phase::Asked, "it asks: {}", about());
    let questions =
        lives.iter().flat_map(|life| &life.said).filter(|line| line.contains("cannot be known: its pipeline")).count();
    ensure!(questions == 1, "asked once, over restarts too: {}", about());
    let places = Journal::open(&house.path("state"))?.count("select count(*) from place")?;
    ensure!(places == 1, "it holds its place meanwhile");

    // With its pipeline back the system itself can say, unless somebody said it before.
    let said = live(&house, says, None)?;
    said.ended_well()?;
    lives.push(said);
    house.configure(CONFIG)?;
    live_until(&house, &mut lives, |kept| kept.jobs[0].end.is_some())?;
    let kept = kept(&house)?;
    kept.all_over()?;
    kept.told_once(&lives)?;
    let end = kept.jobs[0].end.as_ref().context("it is over")?;
    ensure!(end.outcome == outcome, "{end:?} {lives:#?}");
    ensure!(started(&house).len() == starts, "{:?} {lives:#?}", started(&house));
    Ok(())
}

#[test]
fn what_nobody_can_know_is_asked_once_and_found_out_when_it_can_be() -> Result<()> {
    // The intent is on disk, the effect was not tried.
    asked("after commit enter:intent+take#1", "", 1, JobOutcome::Succeeded)?;
    // It was tried.
    asked("after start#1", "", 1, JobOutcome::Succeeded)
}

#[test]
fn what_nobody_can_know_can_be_said() -> Result<()> {
    // Its pipeline is gone, so what is done again starts nothing, and what is assumed cannot be followed.
    asked("after commit enter:intent+take#1", "job again\n", 0, JobOutcome::Succeeded)?;
    asked("after start#1", "job assume done\n", 1, JobOutcome::Unknown)?;
    asked("after start#1", "cancel\n", 1, JobOutcome::Unknown)
}
