//! An operator changes the configuration while a job waits: the plugin's bytes, its grants, the caller's role, the
//! pipeline.
//!
//! Invariant: the recorded part of a journal stays valid; every call after it is decided by the current configuration.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::store::{JobOutcome, JobPhase};

use super::{
    broken::{CONFIG, PARKS, parked, test_host},
    session::{Session, kill_all, run_session},
    stored_state::{run_until, stored_state},
};
use crate::{
    journal::Journal,
    running_host::eventually,
    test_host::{TestHost, started},
};

/// Parks a job, makes a change and resumes the job. Returns its outcome and all output.
fn changed(typed: &str, change: impl FnOnce(&TestHost) -> Result<()>) -> Result<(JobOutcome, String, TestHost)> {
    let test_host = test_host()?;
    let mut sessions = vec![parked(&test_host, typed)?];
    change(&test_host)?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let said: Vec<&str> = sessions.iter().flat_map(|session| &session.said).map(String::as_str).collect();
    let end = state.jobs[0].end.as_ref().context("the job is finished")?;
    Ok((end.outcome, said.join("\n"), test_host))
}

fn configure(test_host: &TestHost, from: &str, to: &str) -> Result<()> {
    ensure!(CONFIG.contains(from), "{from}");
    test_host.configure(&CONFIG.replace(from, to))
}

const GRANT: &str = r#"allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]"#;

#[test]
fn new_plugin_bytes_apply_to_new_jobs_only() -> Result<()> {
    let replaced =
        |test_host: &TestHost| Ok(fs::write(test_host.path("scripted.wasm"), crate::hostile::guest::harmless()?)?);
    let (outcome, said, test_host) = changed(PARKS, replaced)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&test_host) == ["1.0"]);
    let after = run_session(&test_host, PARKS, None)?;
    ensure!(after.said.iter().any(|line| line.contains("script-app")), "{after:#?}");
    ensure!(
        stored_state(&test_host)?.jobs.len() == 1,
        "the replaced plugin file has no such command, so no second job starts: {after:#?}"
    );
    Ok(())
}

#[test]
fn a_broken_plugin_file_does_not_affect_an_open_job() -> Result<()> {
    let broken = |test_host: &TestHost| Ok(fs::write(test_host.path("scripted.wasm"), "no module")?);
    let (outcome, said, test_host) = changed(PARKS, broken)?;
    ensure!(outcome == JobOutcome::Succeeded && said.contains("ok reached ok succeeded"), "{said}");
    ensure!(started(&test_host) == ["1.0"]);
    Ok(())
}

#[test]
fn calls_of_a_removed_plugin_are_denied() -> Result<()> {
    let start = CONFIG.find("[plugin.scripted]").context("its table")?;
    let (outcome, said, test_host) = changed(PARKS, |test_host| configure(test_host, &CONFIG[start..], ""))?;
    ensure!(said.contains("ok reached denied nothing") && said.contains("pipelines.trigger"), "{said}");
    ensure!(outcome == JobOutcome::Warnings && started(&test_host).is_empty(), "{outcome:?} {said}");
    Ok(())
}

#[test]
fn calls_without_their_grant_are_denied() -> Result<()> {
    let less = [
        // The plugin is loaded, but no grant matches the call.
        r#"allow  = [{ call = ["pipelines.trigger"], environment = ["other"] }, { call = ["pipelines.wait", "catalog.*", "store.*", "jobs.*"] }]"#,
        // The plugin is not loaded. The job runs its stored bytes.
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
fn calls_are_denied_after_the_caller_loses_the_role() -> Result<()> {
    let role = |member: &str| {
        format!(
            "[role.scripter]\nmembers = [\"{member}\"]\ncommands = [\"script-app\"]\napps = [\"it\"]\nenvironments = [\"quick\"]\n"
        )
    };
    let with = |member: &str| CONFIG.replace("[environment.quick]", &format!("{}\n[environment.quick]", role(member)));
    let test_host = test_host()?;
    test_host.configure(&with("bob"))?;
    let first = run_session(&test_host, &format!("/as bob\n{PARKS}"), None)?;
    ensure!(stored_state(&test_host)?.jobs.iter().any(|job| job.status.phase == JobPhase::Time), "{first:#?}");
    test_host.configure(&with("carol"))?;
    let mut sessions = vec![first];
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    let summary = &state.jobs[0].end.as_ref().context("the job is finished")?.summary;
    ensure!(summary.contains("denied nothing") && summary.contains("role"), "{summary}");
    ensure!(started(&test_host).is_empty());
    Ok(())
}

/// The configuration of one pipeline.
const PIPELINE: &str =
    "[app.it.deploy.quick]\nrun        = [\"./count.sh\", \"{version}\"]\nparameters = { version = '[0-9.]+' }\n";

#[test]
fn a_removed_pipeline_starts_no_run() -> Result<()> {
    let (outcome, said, test_host) = changed(PARKS, |test_host| configure(test_host, PIPELINE, ""))?;
    ensure!(
        said.contains("ok reached denied nothing") || said.contains("ok reached error:not-found nothing"),
        "{said}"
    );
    ensure!(started(&test_host).is_empty(), "{outcome:?} {said}");
    Ok(())
}

/// Runs a command until the host crashes at a crash point.
fn crashed(place: &str, script: &str) -> Result<(TestHost, Vec<Session>)> {
    let test_host = test_host()?;
    test_host.script("count.sh", script)?;
    let session = run_session(&test_host, "script-app it quick 1.0 trigger:it/quick:1.0 wait\n", Some(place))?;
    ensure!(session.crashed(), "{session:#?}");
    Ok((test_host, vec![session]))
}

#[test]
fn a_run_of_a_removed_pipeline_ends_as_unknown() -> Result<()> {
    let (test_host, mut sessions) = crashed("before ended#1", "#!/bin/sh\necho \"$1\" >>started\n")?;
    configure(&test_host, PIPELINE, "")?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let end = state.jobs[0].end.as_ref().context("the job is finished")?;
    ensure!(end.outcome == JobOutcome::Unknown, "{end:?}");
    ensure!(end.summary.contains("no longer configured"), "{end:?}");
    ensure!(started(&test_host) == ["1.0"]);
    Ok(())
}

/// Checks the question for an effect in doubt, and the number of starts after the answer.
fn asked(place: &str, says: &str, starts: usize, outcome: JobOutcome) -> Result<()> {
    let (test_host, mut sessions) = crashed(place, "#!/bin/sh\necho \"$1\" >>started\n")?;
    if place.starts_with("after start") {
        eventually("the run's start", || Ok(started(&test_host) == ["1.0"]))?;
    }
    // No process of the run is left.
    kill_all(&test_host)?;
    configure(&test_host, PIPELINE, "")?;
    for _ in 0..2 {
        let session = run_session(&test_host, "", None)?;
        session.ended_cleanly()?;
        sessions.push(session);
    }
    let about = || format!("{sessions:#?}");
    let open = stored_state(&test_host)?;
    ensure!(open.jobs[0].status.phase == JobPhase::InDoubt, "it asks: {}", about());
    let questions = sessions
        .iter()
        .flat_map(|session| &session.said)
        .filter(|line| line.contains("happened: the pipeline is no longer configured"))
        .count();
    ensure!(
        questions == 1,
        "the question about the effect in doubt is asked only once, also after restarts: {}",
        about()
    );
    let places = Journal::open(&test_host.path("state"))?.count("select count(*) from place")?;
    ensure!(places == 1, "the job keeps its deployment lock while it waits");

    // After the pipeline is configured again, its system answers, unless a person has already answered.
    let said = run_session(&test_host, says, None)?;
    said.ended_cleanly()?;
    sessions.push(said);
    test_host.configure(CONFIG)?;
    run_until(&test_host, &mut sessions, |state| state.jobs[0].end.is_some())?;
    let state = stored_state(&test_host)?;
    state.all_finished()?;
    state.announced_once(&sessions)?;
    let end = state.jobs[0].end.as_ref().context("the job is finished")?;
    ensure!(end.outcome == outcome, "{end:?} {sessions:#?}");
    ensure!(started(&test_host).len() == starts, "{:?} {sessions:#?}", started(&test_host));
    Ok(())
}

#[test]
fn an_effect_in_doubt_is_asked_about_once_and_resolved_when_its_pipeline_returns() -> Result<()> {
    // The intent is stored, and the effect was not tried.
    asked("after commit enter:intent+take#1", "", 1, JobOutcome::Succeeded)?;
    // The effect was tried.
    asked("after start#1", "", 1, JobOutcome::Succeeded)
}

#[test]
fn a_person_can_resolve_an_effect_in_doubt() -> Result<()> {
    // Without the pipeline, `again` starts nothing, and the run of `assume done` cannot be followed.
    asked("after commit enter:intent+take#1", "job again\n", 0, JobOutcome::Succeeded)?;
    asked("after start#1", "job assume done\n", 1, JobOutcome::Unknown)?;
    asked("after start#1", "cancel\n", 1, JobOutcome::Unknown)
}
