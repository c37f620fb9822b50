//! A deployment and a rollback, typed at the console, with a crash at every place of them.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::port::{Outcome, store::{JobOutcome, JobRow}};

use super::{
    aftermath::{Kept, kept},
    life::{Life, kill_all, live},
    points::each,
};
use crate::house::House;

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.quick]

[app.it]
title = "It"

[app.it.deploy.quick]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[plugin.rollback]
module = "{guests}/rollback.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"], beyond = ["version"] }]
"#;

/// Counts its starts. It takes long enough to be killed in the middle, and what is typed last need not be.
const SCRIPT: &str = "#!/bin/sh
echo \"$1\" >>started
echo 'step: install'
[ \"$1\" = 2.0 ] || sleep 0.1
";

const TYPED: &str = "release record it quick 0.9\ndeploy it quick 1.0\nrollback it quick\n";
/// What is typed after a crash: whether the place is free and everything works.
const AFTER: &str = "deploy it quick 2.0\n";

/// Who dies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Victims {
    /// The host alone: its supervisors go on.
    Host,
    /// All that works in the house.
    All,
}

fn house() -> Result<House> {
    let house = House::new(CONFIG)?;
    house.script("count.sh", SCRIPT)?;
    Ok(house)
}

/// How often the script was started for a version.
fn starts(house: &House, version: &str) -> usize {
    let started = fs::read_to_string(house.path("started")).unwrap_or_default();
    started.lines().filter(|line| *line == version).count()
}

/// The version that a job is about.
fn version_of(job: &JobRow) -> &str {
    if job.command == "rollback" { "0.9" } else { job.line.rsplit(' ').next().unwrap_or_default() }
}

/// What must hold after any crash. Gives how many jobs ended as unknown.
fn check(house: &House, victims: Victims, lives: &[&Life]) -> Result<usize> {
    let kept = kept(house)?;
    kept.all_over()?;
    kept.told_once(lives)?;
    let mut journal = crate::journal::Journal::open(&house.path("state"))?;
    let taken = journal.count("select count(*) from inbox where text not like 'release%'")?;
    ensure!(i64::try_from(kept.jobs.len())? == taken, "a job for each message: {taken} and {:?}", kept.jobs);
    let recorded = journal.count("select count(*) from inbox where text like 'release%'")?;
    let records = kept.releases.iter().filter(|release| release.recorded).count();
    ensure!(i64::try_from(records)? == recorded, "recorded once: {:?}", kept.releases);
    let mut unknown = 0;
    for job in &kept.jobs {
        unknown += usize::from(done_once(house, &kept, job, victims)?);
    }
    Ok(unknown)
}

/// What a job did happened once, and is what it says. Gives whether nobody knows how far it came.
fn done_once(house: &House, kept: &Kept, job: &JobRow, victims: Victims) -> Result<bool> {
    let outcome = job.end.as_ref().context("it is over")?.outcome;
    let started = starts(house, version_of(job));
    let releases: Vec<_> =
        kept.releases_of(&job.id).into_iter().map(|release| (release.version.as_str(), release.outcome)).collect();
    let about = || format!("{}: {outcome:?}, {started} starts, {releases:?}", job.line);
    match outcome {
        JobOutcome::Succeeded => {
            ensure!(started == 1 && releases == [(version_of(job), Outcome::Succeeded)], "{}", about());
            Ok(false)
        }
        // Its run was killed, before or after the script's first line.
        JobOutcome::Unknown if victims == Victims::All => {
            ensure!(started <= 1 && releases == [(version_of(job), Outcome::Unknown)], "{}", about());
            Ok(true)
        }
        _ => anyhow::bail!("{}", about()),
    }
}

/// Dies at a place and lives again. Gives whether it died there, and how many jobs ended as unknown.
fn dies_at(place: &str, victims: Victims) -> Result<(bool, usize)> {
    let house = house()?;
    let first = live(&house, TYPED, Some(place))?;
    if victims == Victims::All {
        kill_all(&house)?;
    }
    let second = live(&house, AFTER, None)?;
    let about = || format!("died: {}\n{:#?}\nand then\n{:#?}", first.died(), first, second);
    second.ended_well().with_context(about)?;
    let unknown = check(&house, victims, &[&first, &second]).with_context(about)?;
    ensure!(starts(&house, "2.0") == 1, "it works afterwards: {}", about());
    Ok((first.died(), unknown))
}

#[test]
fn killed_at_any_place_a_command_goes_on_where_it_was() -> Result<()> {
    let untouched = house()?;
    let life = live(&untouched, TYPED, None)?;
    life.ended_well()?;
    check(&untouched, Victims::Host, &[&life])?;
    let places = life.names();
    ensure!(places.len() > 60, "too few places: {places:#?}");

    let all: Vec<(String, Victims)> = [Victims::Host, Victims::All]
        .into_iter()
        .flat_map(|victims| places.iter().map(move |place| (place.clone(), victims)))
        .collect();
    let name = |(place, victims): &(String, Victims)| format!("{place}, killed: {victims:?}");
    let ran = each("a deployment and a rollback", &all, name, |(place, victims)| dies_at(place, *victims))?;
    let died = ran.iter().filter(|(died, _)| *died).count();
    ensure!(died + 8 >= all.len(), "a place is hardly ever missed: {died} of {}", all.len());
    let unknown: usize = ran.iter().map(|(_, unknown)| unknown).sum();
    ensure!(unknown >= 5, "runs were killed too: {unknown}");
    Ok(())
}
