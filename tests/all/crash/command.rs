//! A deployment and a rollback, typed at the console, with a crash at every place of them, and another at any place of what
//! follows.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use wardroom::port::{
    Outcome,
    store::{JobOutcome, JobRow},
};

use super::{
    aftermath::{Kept, kept},
    chance::Chance,
    life::{Life, Typist, kill_all, live, live_with},
    points::each,
};
use crate::{house::House, journal::Journal};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.quick]
[environment.slow]

[app.it]
title = "It"

[app.it.deploy.quick]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[app.it.deploy.slow]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[plugin.rollback]
module = "{guests}/rollback.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"], beyond = ["version"] }]
"#;

/// Counts its starts. It takes long enough to be killed in the middle, and what is typed last need not be.
pub(super) const SCRIPT: &str = "#!/bin/sh
echo \"$1\" >>started
echo 'step: install'
[ \"$1\" = 2.0 ] || sleep 0.1
";

/// Goes on until it is told to end, or called off.
const SLOW: &str = "#!/bin/sh
echo \"$1\" >>started
until [ -e go ]; do sleep 0.02; done
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
    house.script("slow.sh", SLOW)?;
    Ok(house)
}

/// How often the script was started for a version.
pub(super) fn starts(house: &House, version: &str) -> usize {
    let started = fs::read_to_string(house.path("started")).unwrap_or_default();
    started.lines().filter(|line| *line == version).count()
}

/// The version that a job is about.
fn version_of(job: &JobRow) -> &str {
    if job.command == "rollback" { "0.9" } else { job.line.rsplit(' ').next().unwrap_or_default() }
}

/// What must hold after any crash, where a job may end in these ways only. Gives how many ended as each.
fn check<const N: usize>(house: &House, ways: [JobOutcome; N], lives: &[Life]) -> Result<[usize; N]> {
    let kept = kept(house)?;
    kept.all_over()?;
    kept.told_once(lives)?;
    let mut journal = Journal::open(&house.path("state"))?;
    let taken = journal.count("select count(*) from inbox where text like 'deploy%' or text like 'rollback%'")?;
    ensure!(i64::try_from(kept.jobs.len())? == taken, "a job for each message: {taken} and {:?}", kept.jobs);
    let recorded = journal.count("select count(*) from inbox where text like 'release%'")?;
    let records = kept.releases.iter().filter(|release| release.recorded).count();
    ensure!(i64::try_from(records)? == recorded, "recorded once: {:?}", kept.releases);
    let mut counts = [0; N];
    for job in &kept.jobs {
        let outcome = done_once(house, &kept, job)?;
        match ways.iter().position(|way| *way == outcome) {
            Some(way) => counts[way] += 1,
            None => bail!("{} ended as {outcome:?}", job.line),
        }
    }
    Ok(counts)
}

/// What a job did happened once, and is what it says.
pub(super) fn done_once(house: &House, kept: &Kept, job: &JobRow) -> Result<JobOutcome> {
    let outcome = job.end.as_ref().context("it is over")?.outcome;
    let started = starts(house, version_of(job));
    let releases: Vec<_> =
        kept.releases_of(&job.id).into_iter().map(|release| (release.version.as_str(), release.outcome)).collect();
    let said = |outcome| releases == [(version_of(job), outcome)];
    let holds = match outcome {
        JobOutcome::Succeeded => started == 1 && said(Outcome::Succeeded),
        // Its run was killed, before or after the script's first line.
        JobOutcome::Unknown => started <= 1 && said(Outcome::Unknown),
        // Nothing was started any more, or what was is stopped.
        JobOutcome::Cancelled => (started == 0 && releases.is_empty()) || (started <= 1 && said(Outcome::Cancelled)),
        _ => false,
    };
    ensure!(holds, "{}: {outcome:?}, {started} starts, {releases:?}", job.line);
    Ok(outcome)
}

/// Lives on without a crash until all is over, with something typed.
pub(super) fn live_on(house: &House, typed: &str, mut lives: Vec<Life>) -> Result<Vec<Life>> {
    let last = live(house, typed, None)?;
    let ended = last.ended_well();
    lives.push(last);
    ended.with_context(|| format!("{lives:#?}"))?;
    Ok(lives)
}

/// The places of a story that nobody disturbs.
fn places(types: impl FnOnce(&mut Typist) -> Result<()>) -> Result<Vec<String>> {
    let house = house()?;
    let life = live_with(&house, None, types)?;
    life.ended_well()?;
    let names = life.names();
    check(&house, [JobOutcome::Succeeded, JobOutcome::Cancelled], &[life])?;
    Ok(names)
}

/// Dies at a place and lives again. Gives whether it died there, and how many jobs ended as unknown.
fn dies_at(place: &str, victims: Victims) -> Result<(bool, usize)> {
    let house = house()?;
    let first = live(&house, TYPED, Some(place))?;
    if victims == Victims::All {
        kill_all(&house)?;
    }
    let died = first.died();
    let lives = live_on(&house, AFTER, vec![first])?;
    let about = || format!("died: {died}\n{lives:#?}");
    let unknown = match victims {
        Victims::Host => check(&house, [JobOutcome::Succeeded], &lives).map(|_| 0),
        Victims::All => check(&house, [JobOutcome::Succeeded, JobOutcome::Unknown], &lives).map(|counts| counts[1]),
    };
    ensure!(starts(&house, "2.0") == 1, "it works afterwards: {}", about());
    Ok((died, unknown.with_context(about)?))
}

#[test]
fn killed_at_any_place_a_command_goes_on_where_it_was() -> Result<()> {
    let places = places(|typist| typist.say(TYPED))?;
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

#[test]
fn killed_again_while_it_recovers_it_goes_on_all_the_same() -> Result<()> {
    let places = places(|typist| typist.say(TYPED))?;
    let mut chance = Chance::new();
    // A life after a crash passes from a few places to about as many as the first.
    let all: Vec<(String, u64)> =
        (0..60).map(|_| (places[chance.below(places.len())].clone(), 1 + chance.below(50) as u64)).collect();
    let name = |(place, nth): &(String, u64)| format!("{place}, then {nth} of the next life");
    let twice = each("killed twice", &all, name, |(place, nth)| {
        let house = house()?;
        let lives = vec![live(&house, TYPED, Some(place))?, live(&house, AFTER, Some(&nth.to_string()))?];
        let died = lives.iter().all(Life::died);
        let lives = live_on(&house, "", lives)?;
        check(&house, [JobOutcome::Succeeded], &lives).with_context(|| format!("{lives:#?}"))?;
        Ok(died)
    })?;
    ensure!(twice.into_iter().filter(|died| *died).count() >= 20, "most died twice");
    Ok(())
}

#[test]
fn killed_at_any_place_of_a_cancel_a_job_is_called_off_or_ends() -> Result<()> {
    let call_off = |house: &House, typist: &mut Typist| -> Result<()> {
        typist.say("deploy it slow 1.0 &\n")?;
        typist.wait_for("the run's start", || Ok(starts(house, "1.0") == 1))?;
        typist.say("cancel &\n")
    };
    let untouched = house()?;
    let life = live_with(&untouched, None, |typist| call_off(&untouched, typist))?;
    life.ended_well()?;
    let places = life.names();
    ensure!(places.iter().any(|place| place.contains("cancel")), "{places:#?}");
    ensure!(check(&untouched, [JobOutcome::Cancelled], &[life])? == [1]);
    let ran = each("a cancel", &places, Clone::clone, |place| {
        let house = house()?;
        let first = live_with(&house, Some(place), |typist| call_off(&house, typist))?;
        let died = first.died();
        let heard = Journal::open(&house.path("state"))?.count("select count(*) from inbox where text = 'cancel'")?;
        if heard == 0 {
            fs::write(house.path("go"), "")?;
        }
        let lives = live_on(&house, "", vec![first])?;
        let way = if heard == 0 { JobOutcome::Succeeded } else { JobOutcome::Cancelled };
        check(&house, [way], &lives).with_context(|| format!("heard {heard} times: {lives:#?}"))?;
        Ok(died)
    })?;
    let died = ran.iter().filter(|died| **died).count();
    ensure!(died + 6 >= places.len(), "a place is hardly ever missed: {died} of {}", places.len());
    Ok(())
}
