//! Starts a host on state that changed while it was down: an edited entry, the database of another machine or of a
//! newer version, and a full disk.

use std::{fs, time::Duration};

use anyhow::{Result, ensure};
use wardroom::store::{JobOutcome, JobPhase};

use super::{
    session::{Session, run_session},
    stored_state::{StoredState, read_state, run_until, stored_state},
};
use crate::{
    journal::Journal,
    restart::on_a_small_disk,
    running_host::{RunningHost, eventually},
    test_host::{TestHost, started},
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

/// A command whose job waits for a time and then triggers a pipeline.
pub(super) const PARKS: &str = "script-app it quick 1.0 after:2000 sleep trigger:it/quick:1.0 wait\n";
const PARKS_TOO: &str = "script-app it other 2.0 after:2000 sleep trigger:it/other:2.0 wait\n";

pub(super) fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("count.sh", SCRIPT)?;
    test_host.copy_in(&crate::test_host::guests().join("scripted.wasm"), "scripted.wasm")?;
    Ok(test_host)
}

/// Runs and stops a host whose jobs wait for a time.
pub(super) fn parked(test_host: &TestHost, typed: &str) -> Result<Session> {
    let session = run_session(test_host, typed, None)?;
    session.ended_cleanly()?;
    let waits = stored_state(test_host)?.jobs.iter().filter(|job| job.status.phase == JobPhase::Time).count();
    ensure!(waits == typed.lines().count() && started(test_host).is_empty(), "it waits: {session:#?}");
    Ok(session)
}

/// Returns the outcome of each job; `None` for an open job.
fn outcomes(state: &StoredState) -> Vec<Option<JobOutcome>> {
    state.jobs.iter().map(|job| job.end.as_ref().map(|end| end.outcome)).collect()
}

/// A job whose journal was edited is held, and the other job resumes.
fn changed(statement: &'static str, fault: &str) -> Result<()> {
    let test_host = test_host()?;
    let mut sessions = vec![parked(&test_host, &format!("{PARKS}{PARKS_TOO}"))?];
    ensure!(Journal::tamper(&test_host.path("state"), statement)? == 1, "one row was changed");
    run_until(&test_host, &mut sessions, |state| {
        state.jobs[0].status.phase == JobPhase::Held && state.jobs[1].end.is_some()
    })?;
    let (found, broken) = read_state(&test_host)?;
    let id = &found.jobs[0].id;
    ensure!(broken.as_ref().is_some_and(|broken| broken.contains(fault)), "expected the fault {fault}, got {broken:?}");
    ensure!(outcomes(&found) == [None, Some(JobOutcome::Succeeded)], "{:?}", found.jobs);
    ensure!(started(&test_host) == ["2.0"], "{:?}", started(&test_host));
    let about = || format!("{sessions:#?}");
    let said = sessions.iter().flat_map(|session| &session.said);
    let told: Vec<_> = said.filter(|line| line.contains("is held: the job's journal is broken: ")).collect();
    ensure!(
        told.len() == 1 && told[0].contains(&format!("`cancel {id}` ends it")),
        "the room is told exactly once: {}",
        about()
    );
    ensure!(sessions.iter().any(|session| session.log.contains("a job is held")), "the log reports it: {}", about());

    // A retry changes nothing, and the job can be cancelled.
    let again = run_session(&test_host, &format!("job {id} again\njob {id}\ncancel {id}\n"), None)?;
    again.ended_cleanly()?;
    ensure!(again.said[0].starts_with("the job's journal is broken: "), "{again:#?}");
    let (ended, broken) = read_state(&test_host)?;
    ensure!(outcomes(&ended) == [Some(JobOutcome::Unknown), Some(JobOutcome::Succeeded)], "{again:#?}");
    ensure!(broken.is_some_and(|broken| broken.contains(fault)), "the end of the job does not hide the fault");
    ensure!(started(&test_host) == ["2.0"]);
    Ok(())
}

#[test]
fn a_job_with_an_edited_result_is_held_and_other_jobs_resume() -> Result<()> {
    changed(
        "update entry set body = replace(body, 'Ok', 'ok') \
         where number = 1 and job = (select id from job order by seq limit 1)",
        "was changed",
    )
}

#[test]
fn a_job_with_edited_arguments_is_held_and_other_jobs_resume() -> Result<()> {
    changed(
        "update entry set body = replace(body, 'it/quick:1.0', 'it/quick:6.6') \
         where number = 0 and job = (select id from job order by seq limit 1)",
        "was changed",
    )
}

#[test]
fn a_job_with_a_missing_entry_is_held_and_other_jobs_resume() -> Result<()> {
    changed("delete from entry where number = 1 and job = (select id from job order by seq limit 1)", "is missing")
}

#[test]
fn the_database_of_another_machine_is_refused_until_it_is_adopted() -> Result<()> {
    let test_host = test_host()?;
    let first = parked(&test_host, PARKS)?;
    ensure!(Journal::tamper(&test_host.path("state"), "update lease set machine = 'elsewhere'")? == 1);
    let refused = test_host.wardroom(&["run"], "whoami\n")?;
    ensure!(refused.code == Some(1) && refused.out.is_empty(), "{refused:?}");
    ensure!(refused.err.contains("was used on another computer") && refused.err.contains("run --adopt"), "{refused:?}");
    ensure!(started(&test_host).is_empty());

    let adopted = test_host.wardroom(&["run", "--adopt"], "whoami\n")?;
    ensure!(adopted.code == Some(0) && adopted.out.contains("You are operator"), "{adopted:?}");
    // The database belongs to this machine now, and the waiting job resumes.
    let mut sessions = vec![first];
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    ensure!(outcomes(&stored_state(&test_host)?) == [Some(JobOutcome::Succeeded)] && started(&test_host) == ["1.0"]);
    Ok(())
}

#[test]
fn a_database_of_a_newer_version_is_refused() -> Result<()> {
    let test_host = test_host()?;
    parked(&test_host, PARKS)?;
    let newer = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                 values (9999, 'from the future', true, x'00', 0)";
    ensure!(Journal::tamper(&test_host.path("state"), newer)? == 1);
    let refused = test_host.wardroom(&["run"], "whoami\n")?;
    ensure!(refused.code == Some(1) && refused.out.is_empty(), "{refused:?}");
    ensure!(refused.err.contains("newer"), "{refused:?}");
    ensure!(started(&test_host).is_empty());
    Ok(())
}

#[test]
fn a_full_disk_delays_a_resuming_job_until_there_is_space() -> Result<()> {
    let test_host = test_host()?;
    let (mut host, state) = on_a_small_disk(&test_host, "mount -t tmpfs -o size=4m,mode=0700 none state")?;
    host.say("script-app it quick 1.0 after:1500 sleep trigger:it/quick:1.0 wait &")?;
    host.wait_for("waits until")?;
    let filler = state.join("filler");
    ensure!(fs::write(&filler, vec![0_u8; 8 << 20]).is_err(), "the disk is full");
    // The job's time comes, but the store cannot write.
    host.wait_for("waits: the database is unavailable")?;
    ensure!(started(&test_host).is_empty(), "no pipeline run is started before its intent is stored");
    std::thread::sleep(Duration::from_millis(500));
    ensure!(started(&test_host).is_empty() && !host.log().contains("panicked"), "{}", host.log());

    fs::remove_file(&filler)?;
    host.wait_for("ok reached ok succeeded")?;
    ensure!(started(&test_host) == ["1.0"]);
    works(host)
}

#[test]
fn the_end_of_a_run_is_recorded_after_the_disk_was_full() -> Result<()> {
    let test_host = test_host()?;
    test_host.script("count.sh", "#!/bin/sh\necho \"$1\" >>started\nuntil [ -e go ]; do sleep 0.02; done\n")?;
    let (mut host, state) = on_a_small_disk(&test_host, "mount -t tmpfs -o size=4m,mode=0700 none state")?;
    host.say("script-app it quick 1.0 trigger:it/quick:1.0 wait &")?;
    eventually("the run's start", || Ok(started(&test_host) == ["1.0"]))?;
    // Wait until the intent is stored. The test cannot read the database, because it is in another mount namespace.
    std::thread::sleep(Duration::from_millis(300));
    let filler = state.join("filler");
    ensure!(fs::write(&filler, vec![0_u8; 8 << 20]).is_err(), "the disk is full");
    fs::write(test_host.path("go"), "")?;
    std::thread::sleep(Duration::from_millis(1500));
    ensure!(host.said().iter().all(|line| !line.contains("ok succeeded")), "nothing is told that is not written down");
    fs::remove_file(&filler)?;
    host.wait_for("ok ")?;
    ensure!(started(&test_host) == ["1.0"], "started once");
    works(host)
}

/// The host answers a command and ends cleanly.
fn works(mut host: RunningHost) -> Result<()> {
    host.say("whoami")?;
    host.wait_for("You are operator")?;
    let log = host.log();
    let (status, _) = host.finish()?;
    ensure!(status.success() && !log.contains("panicked"), "{log}");
    Ok(())
}
