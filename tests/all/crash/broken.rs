//! What a host finds at its start that is not as it left it: a changed entry, another machine's database, a newer one's; and a
//! disk that is full when a job goes on.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use wardroom::port::store::{JobOutcome, Phase};

use super::{
    aftermath::{Kept, kept, live_until, look},
    life::{Life, live},
};
use crate::{
    host::{Host, eventually},
    house::House,
    journal::Journal,
    restart::on_a_small_disk,
};

pub(super) const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.quick]
[environment.other]

[app.it]
title = "It"

[app.it.deploy.quick]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[app.it.deploy.other]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.scripted]
module = "scripted.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]
"#;

pub(super) const SCRIPT: &str = "#!/bin/sh\necho \"$1\" >>started\n";

/// Waits for a time, and then does something.
pub(super) const PARKS: &str = "script-app it quick 1.0 after:300 sleep trigger:it/quick:1.0 wait\n";
const PARKS_TOO: &str = "script-app it other 2.0 after:300 sleep trigger:it/other:2.0 wait\n";

pub(super) fn house() -> Result<House> {
    let house = House::new(CONFIG)?;
    house.script("count.sh", SCRIPT)?;
    house.copy_in(&crate::house::guests().join("scripted.wasm"), "scripted.wasm")?;
    Ok(house)
}

/// The versions that the script was started for.
pub(super) fn started(house: &House) -> Vec<String> {
    let started = fs::read_to_string(house.path("started")).unwrap_or_default();
    started.lines().map(str::to_owned).collect()
}

/// A house with jobs that wait for a time, and no host.
pub(super) fn parked(house: &House, typed: &str) -> Result<Life> {
    let life = live(house, typed, None)?;
    life.ended_well()?;
    let waits = kept(house)?.jobs.iter().filter(|job| job.stand.phase == Phase::Time).count();
    ensure!(waits == typed.lines().count() && started(house).is_empty(), "it waits: {life:#?}");
    Ok(life)
}

/// How a job ended; `None` while it is open.
fn outcomes(kept: &Kept) -> Vec<Option<JobOutcome>> {
    kept.jobs.iter().map(|job| job.end.as_ref().map(|end| end.outcome)).collect()
}

/// A job whose journal was changed is held, and the others go on.
fn changed(statement: &'static str, fault: &str) -> Result<()> {
    let house = house()?;
    let mut lives = vec![parked(&house, &format!("{PARKS}{PARKS_TOO}"))?];
    ensure!(Journal::tamper(&house.path("state"), statement)? == 1, "one row was changed");
    live_until(&house, &mut lives, |kept| kept.jobs[0].stand.phase == Phase::Held && kept.jobs[1].end.is_some())?;
    let (found, broken) = look(&house)?;
    let id = &found.jobs[0].id;
    ensure!(broken.as_ref().is_some_and(|broken| broken.contains(fault)), "{broken:?}, and not: {fault}");
    ensure!(outcomes(&found) == [None, Some(JobOutcome::Succeeded)], "{:?}", found.jobs);
    ensure!(started(&house) == ["2.0"], "{:?}", started(&house));
    let about = || format!("{lives:#?}");
    let said = lives.iter().flat_map(|life| &life.said);
    let told: Vec<_> = said.filter(|line| line.contains("is held: its journal is broken: ")).collect();
    ensure!(
        told.len() == 1 && told[0].contains(&format!("`cancel {id}` ends it")),
        "the room is told once: {}",
        about()
    );
    ensure!(lives.iter().any(|life| life.log.contains("a job is held")), "the operator is told: {}", about());

    // It can be tried again, which changes nothing, and it can be ended.
    let again = live(&house, &format!("job {id} again\njob {id}\ncancel {id}\n"), None)?;
    again.ended_well()?;
    ensure!(again.said[0].starts_with("its journal is broken: "), "{again:#?}");
    let (ended, broken) = look(&house)?;
    ensure!(outcomes(&ended) == [Some(JobOutcome::Unknown), Some(JobOutcome::Succeeded)], "{again:#?}");
    ensure!(broken.is_some_and(|broken| broken.contains(fault)), "its end hides nothing");
    ensure!(started(&house) == ["2.0"]);
    Ok(())
}

#[test]
fn a_job_with_a_changed_answer_is_held_and_the_others_go_on() -> Result<()> {
    changed(
        "update entry set body = replace(body, 'Ok', 'ok') \
         where number = 1 and job = (select id from job order by seq limit 1)",
        "was changed",
    )
}

#[test]
fn a_job_with_changed_arguments_is_held_and_the_others_go_on() -> Result<()> {
    changed(
        "update entry set body = replace(body, 'it/quick:1.0', 'it/quick:6.6') \
         where number = 0 and job = (select id from job order by seq limit 1)",
        "was changed",
    )
}

#[test]
fn a_job_with_a_missing_entry_is_held_and_the_others_go_on() -> Result<()> {
    changed("delete from entry where number = 1 and job = (select id from job order by seq limit 1)", "is missing")
}

#[test]
fn another_machines_database_is_refused_until_it_is_taken_over() -> Result<()> {
    let house = house()?;
    let first = parked(&house, PARKS)?;
    ensure!(Journal::tamper(&house.path("state"), "update lease set machine = 'elsewhere'")? == 1);
    let refused = house.wardroom(&["run"], "whoami\n")?;
    ensure!(refused.code == Some(1) && refused.out.is_empty(), "{refused:?}");
    ensure!(refused.err.contains("was used on another machine") && refused.err.contains("run --adopt"), "{refused:?}");
    ensure!(started(&house).is_empty());

    let adopted = house.wardroom(&["run", "--adopt"], "whoami\n")?;
    ensure!(adopted.code == Some(0) && adopted.out.contains("You are operator"), "{adopted:?}");
    // It is this machine's from now on, and the job that waited goes on here.
    let mut lives = vec![first];
    live_until(&house, &mut lives, |kept| kept.jobs[0].end.is_some())?;
    ensure!(outcomes(&kept(&house)?) == [Some(JobOutcome::Succeeded)] && started(&house) == ["1.0"]);
    Ok(())
}

#[test]
fn a_newer_database_is_refused() -> Result<()> {
    let house = house()?;
    parked(&house, PARKS)?;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'from the future', true, x'00', 0)";
    ensure!(Journal::tamper(&house.path("state"), newer)? == 1);
    let refused = house.wardroom(&["run"], "whoami\n")?;
    ensure!(refused.code == Some(1) && refused.out.is_empty(), "{refused:?}");
    ensure!(refused.err.contains("newer"), "{refused:?}");
    ensure!(started(&house).is_empty());
    Ok(())
}

#[test]
fn a_disk_that_is_full_when_a_job_goes_on_stops_it_until_there_is_room() -> Result<()> {
    let house = house()?;
    let (mut host, state) = on_a_small_disk(&house, "mount -t tmpfs -o size=4m,mode=0700 none state")?;
    host.say("script-app it quick 1.0 after:1500 sleep trigger:it/quick:1.0 wait &")?;
    host.hear("waits until")?;
    let filler = state.join("filler");
    ensure!(fs::write(&filler, vec![0_u8; 8 << 20]).is_err(), "the disk is full");
    // Its time comes, and that cannot be written down.
    host.hear("waits: what it does cannot be written down now")?;
    ensure!(started(&house).is_empty(), "nothing is started that is not written down");
    std::thread::sleep(Duration::from_millis(500));
    ensure!(started(&house).is_empty() && !host.log().contains("panicked"), "{}", host.log());

    fs::remove_file(&filler)?;
    host.hear("ok reached ok succeeded")?;
    ensure!(started(&house) == ["1.0"]);
    works(host)
}

#[test]
fn a_disk_that_fills_up_during_a_run_loses_nothing_of_its_end() -> Result<()> {
    let house = house()?;
    house.script("count.sh", "#!/bin/sh\necho \"$1\" >>started\nuntil [ -e go ]; do sleep 0.02; done\n")?;
    let (mut host, state) = on_a_small_disk(&house, "mount -t tmpfs -o size=4m,mode=0700 none state")?;
    host.say("script-app it quick 1.0 trigger:it/quick:1.0 wait &")?;
    eventually("the run's start", || Ok(started(&house) == ["1.0"]))?;
    // The job waits for it by now, or at least its intent is on disk.
    std::thread::sleep(Duration::from_millis(300));
    let filler = state.join("filler");
    ensure!(fs::write(&filler, vec![0_u8; 8 << 20]).is_err(), "the disk is full");
    fs::write(house.path("go"), "")?;
    std::thread::sleep(Duration::from_millis(1500));
    ensure!(host.said().iter().all(|line| !line.contains("ok succeeded")), "nothing is told that is not written down");
    fs::remove_file(&filler)?;
    host.hear("ok ")?;
    ensure!(started(&house) == ["1.0"], "started once");
    works(host)
}

/// The host is well: it answers, and it ends.
fn works(mut host: Host) -> Result<()> {
    host.say("whoami")?;
    host.hear("You are operator")?;
    let log = host.log();
    let (status, _) = host.finish()?;
    ensure!(status.success() && !log.contains("panicked"), "{log}");
    Ok(())
}
