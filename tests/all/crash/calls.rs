//! A job that makes every kind of call, with a crash at every place of it: what it says at its end is what it would have said
//! undisturbed.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::port::store::{JobOutcome, JobRow};

use super::{
    aftermath::{Kept, kept, live_until},
    life::{Life, live},
    points::each,
};
use crate::house::House;

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.quick]
[environment.other]
[environment.slow]

[app.it]
title = "It"

[app.it.deploy.quick]
run        = ["./count.sh", "{version}", "0.02"]
parameters = { version = '[0-9.]+' }

[app.it.deploy.other]
run        = ["./count.sh", "{version}", "0.02"]
parameters = { version = '[0-9.]+' }

[app.it.deploy.slow]
run        = ["./count.sh", "{version}", "0.8"]
parameters = { version = '[0-9.]+' }

[plugin.scripted]
module = "{guests}/scripted.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"], beyond = ["app", "environment", "version", "parameter"] }]
"#;

const SCRIPT: &str = "#!/bin/sh
echo \"$1\" >>started
sleep \"$2\"
";

/// All that a plugin can do. The two jobs that it leaves: one is called off, the other works elsewhere.
const CALLS: &str = "script-app it quick 1.0 set:k:1 after:60 trigger:it/quick:1.0 stage:middle say:hello get:k wait sleep \
                     now big:60000 get:big later:50000:script:script=say:never list later:80:script-app:app=it,environment=other,\
                     version=3.0,script=set:left:done+trigger:it/other:3.0+wait delete:k get:k releases:it:quick apps";
const ANSWER: &str = "ok ok ok ok ok 1 succeeded reached now ok bytes:60000 left 1 left ok none 1 1";
const LEFT: &str = "ok ok succeeded";

/// The run of the second command keeps the host at work until what was left for later has had its time.
fn typed() -> String {
    format!("{CALLS} &\nscript-app it slow 2.0 trigger:it/slow:2.0 wait\n")
}

fn house() -> Result<House> {
    let house = House::new(CONFIG)?;
    house.script("count.sh", SCRIPT)?;
    Ok(house)
}

fn starts(house: &House) -> Vec<String> {
    let started = fs::read_to_string(house.path("started")).unwrap_or_default();
    let mut versions: Vec<String> = started.lines().map(str::to_owned).collect();
    versions.sort();
    versions
}

/// Whether nothing is left to do, except the job whose time comes much later.
fn is_over(kept: &Kept) -> bool {
    kept.jobs.iter().all(|job| job.end.is_some() || is_never(job))
}

fn is_never(job: &JobRow) -> bool {
    job.parent.is_some() && job.line.contains("say:never")
}

/// Lives until all is over, and calls off what would come much later.
fn live_on(house: &House, first: Life) -> Result<Vec<Life>> {
    let mut lives = vec![first];
    live_until(house, &mut lives, is_over)?;
    let last = live(house, "cancel\n", None)?;
    last.ended_well()?;
    lives.push(last);
    Ok(lives)
}

fn check(house: &House, lives: &[Life]) -> Result<()> {
    let kept = kept(house)?;
    kept.all_over()?;
    kept.told_once(lives)?;
    let mut wanted = Vec::new();
    for job in &kept.jobs {
        let end = job.end.as_ref().context("it is over")?;
        let (answer, starts): (_, &[&str]) = match &job.parent {
            None if job.line.contains("slow") => ("ok succeeded", &["2.0"]),
            None => (ANSWER, &["1.0"]),
            Some(_) if is_never(job) => ("was called off", &[]),
            Some(_) => (LEFT, &["3.0"]),
        };
        ensure!(end.summary.contains(answer), "{}: {end:?}, and not: {answer}", job.line);
        ensure!((end.outcome == JobOutcome::Succeeded) != is_never(job), "{}: {end:?}", job.line);
        let released: Vec<&str> =
            kept.releases_of(&job.id).into_iter().map(|release| release.version.as_str()).collect();
        ensure!(released == starts, "{}: released {released:?}", job.line);
        wanted.extend(starts.iter().map(|version| (*version).to_owned()));
    }
    wanted.sort();
    ensure!(starts(house) == wanted, "started {:?}, and not {wanted:?}", starts(house));
    ensure!([0, 1, 3, 4].contains(&kept.jobs.len()), "{} jobs", kept.jobs.len());
    Ok(())
}

#[test]
fn killed_at_any_place_of_any_call_a_job_says_what_it_would_have_said() -> Result<()> {
    let untouched = house()?;
    let life = live(&untouched, &typed(), None)?;
    life.ended_well()?;
    let places = life.names();
    ensure!(places.len() > 100, "too few places: {life:#?}");
    let lives = live_on(&untouched, life)?;
    check(&untouched, &lives).with_context(|| format!("{lives:#?}"))?;

    let ran = each("every kind of call", &places, Clone::clone, |place| {
        let house = house()?;
        let first = live(&house, &typed(), Some(place))?;
        let died = first.died();
        let lives = live_on(&house, first)?;
        check(&house, &lives).with_context(|| format!("died: {died}\n{lives:#?}"))?;
        Ok(died)
    })?;
    let died = ran.iter().filter(|died| **died).count();
    ensure!(died + places.len() / 10 >= places.len(), "a place is hardly ever missed: {died} of {}", places.len());
    Ok(())
}
