//! What an operator changes while a job waits: its plugin's bytes, its grants, its caller's role, its pipeline.
//!
//! Invariant: what is behind a job in its journal stays as it was; what is before it is judged by what holds now.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::port::store::{JobOutcome, Phase};

use super::{
    stored_state::{stored_state, run_until},
    broken::{CONFIG, PARKS, test_host, parked, started},
    session::{Session, kill_all, run_session},
};
use crate::{running_host::eventually, test_host::TestHost, journal::Journal};

/// A job waits for a time, something is changed, and it goes on. Gives its outcome and all that was said.
fn changed(typed: &str, change: impl FnOnce(&TestHost) -> Result<()>) -> Result<(JobOutcome, String, TestHost)> {
    let test_host = test_host()?;
    let mut sessions = vec![parked(&test_host, typed)?];
    change(&test_host)?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let said: Vec<&str> = sessions.iter().flat_map(|session| &session.said).map(String::as_str).collect();
    let end = state.jobs[0].end.as_ref().context("it is over")?;
    Ok((end.outcome, said.join("\n"), test_host))
}

fn configure(test_host: &TestHost, from: &str, to: &str) -> Result<()> {
    ensure!(CONFIG.contains(from), "{from}");
    test_host.configure(&CONFIG.replace(from, to))
}

const GRANT: &str = r#"allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]"#;

#[test]
fn other_bytes_are_for_other_jobs() -> Result<()> {
    let replaced = |test_host: &TestHost| Ok(fs::write(test_host.path("scripted.wasm"), crate::hostile::guest::harmless()?)?);
    let (outcome, said, test_host) = changed(PARKS, replaced)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&test_host) == ["1.0"]);
    let after = run_session(&test_host, PARKS, None)?;
    ensure!(after.said.iter().any(|line| line.contains("script-app")), "{after:#?}");
    ensure!(stored_state(&test_host)?.jobs.len() == 1, "the new bytes have no such command: {after:#?}");
    Ok(())
}

#[test]
fn bytes_that_do_not_load_are_for_nobody() -> Result<()> {
    let broken = |test_host: &TestHost| Ok(fs::write(test_host.path("scripted.wasm"), "no module")?);
    let (outcome, said, test_host) = changed(PARKS, broken)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&test_host) == ["1.0"]);
    Ok(())
}

#[test]
fn a_plugin_that_is_gone_may_do_nothing_more() -> Result<()> {
    let start = CONFIG.find("[plugin.scripted]").context("its table")?;
    let (outcome, said, test_host) = changed(PARKS, |test_host| configure(test_host, &CONFIG[start..], ""))?;
    ensure!(said.contains("ok reached denied nothing") && said.contains("pipelines.trigger"), "{said}");
    ensure!(outcome == JobOutcome::Warnings && started(&test_host).is_empty(), "{outcome:?} {said}");
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
        let (outcome, said, test_host) = changed(PARKS, |test_host| configure(test_host, GRANT, less))?;
        ensure!(said.contains("ok reached denied nothing") && said.contains("Refused: pipelines.trigger"), "{said}");
        ensure!(outcome == JobOutcome::Warnings && started(&test_host).is_empty(), "{outcome:?} {said}");
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
    let test_host = test_host()?;
    test_host.configure(&with("bob"))?;
    let first = run_session(&test_host, &format!("/as bob\n{PARKS}"), None)?;
    ensure!(stored_state(&test_host)?.jobs.iter().any(|job| job.stand.phase == Phase::Time), "{first:#?}");
    test_host.configure(&with("carol"))?;
    let mut sessions = vec![first];
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    let summary = &state.jobs[0].end.as_ref().context("it is over")?.summary;
    ensure!(summary.contains("denied nothing") && summary.contains("role"), "{summary}");
    ensure!(started(&test_host).is_empty());
    Ok(())
}

/// The block of one pipeline.
const PIPELINE: &str =
    "[app.it.deploy.quick]\nrun        = [\"./count.sh\", \"{version}\"]\nparameters = { version = '[0-9.]+' }\n";

#[test]
fn a_pipeline_that_is_gone_starts_nothing() -> Result<()> {
    let (outcome, said, test_host) = changed(PARKS, |test_host| configure(test_host, PIPELINE, ""))?;
    ensure!(
        said.contains("ok reached denied nothing") || said.contains("ok reached error:not-found nothing"),
        "{said}"
    );
    ensure!(started(&test_host).is_empty(), "{outcome:?} {said}");
    Ok(())
}

/// A house whose host crashed at a place of a command.
fn crashed(place: &str, script: &str) -> Result<(TestHost, Vec<Session>)> {
    let test_host = test_host()?;
    test_host.script("count.sh", script)?;
    let session = run_session(&test_host, "script-app it quick 1.0 trigger:it/quick:1.0 wait\n", Some(place))?;
    ensure!(session.crashed(), "{session:#?}");
    Ok((test_host, vec![session]))
}

#[test]
fn a_run_of_a_pipeline_that_is_gone_is_not_known() -> Result<()> {
    let (test_host, mut sessions) = crashed("before ended#1", "#!/bin/sh\necho \"$1\" >>started\n")?;
    configure(&test_host, PIPELINE, "")?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let end = state.jobs[0].end.as_ref().context("it is over")?;
    ensure!(end.outcome == JobOutcome::Unknown, "{end:?}");
    ensure!(end.summary.contains("no longer configured"), "{end:?}");
    ensure!(started(&test_host) == ["1.0"]);
    Ok(())
}

/// What the room says to a job that asks, and how often the script is started then.
fn asked(place: &str, says: &str, starts: usize, outcome: JobOutcome) -> Result<()> {
    let (test_host, mut sessions) = crashed(place, "#!/bin/sh\necho \"$1\" >>started\n")?;
    if place.starts_with("after start") {
        eventually("the run's start", || Ok(started(&test_host) == ["1.0"]))?;
    }
    // Nothing is on its way any more.
    kill_all(&test_host)?;
    configure(&test_host, PIPELINE, "")?;
    for _ in 0..2 {
        let session = run_session(&test_host, "", None)?;
        session.ended_cleanly()?;
        sessions.push(session);
    }
    let about = || format!("{sessions:#?}");
    let open = stored_state(&test_host)?;
    ensure!(open.jobs[0].stand.phase == Phase::Asked, "it asks: {}", about());
    let questions =
        sessions.iter().flat_map(|session| &session.said).filter(|line| line.contains("cannot be known: its pipeline")).count();
    ensure!(questions == 1, "asked once, over restarts too: {}", about());
    let places = Journal::open(&test_host.path("state"))?.count("select count(*) from place")?;
    ensure!(places == 1, "it holds its place meanwhile");

    // With its pipeline back the system itself can say, unless somebody said it before.
    let said = run_session(&test_host, says, None)?;
    said.ended_cleanly()?;
    sessions.push(said);
    test_host.configure(CONFIG)?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let end = state.jobs[0].end.as_ref().context("it is over")?;
    ensure!(end.outcome == outcome, "{end:?} {sessions:#?}");
    ensure!(started(&test_host).len() == starts, "{:?} {sessions:#?}", started(&test_host));
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
