//! A job that makes every kind of call, with a crash at each of its crash points: its reply is the same as without a
//! crash.

use std::fs;

use anyhow::{Context as _, Result, ensure};
use wardroom::store::{JobOutcome, JobRow};

use super::{
    points::for_each_point,
    session::{Session, run_session},
    stored_state::{StoredState, run_until, stored_state},
};
use crate::test_host::TestHost;

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

/// A script with every call of the contract. It schedules two jobs: one is cancelled, the other acts in another
/// environment.
const CALLS: &str = "script-app it quick 1.0 set:k:1 after:60 trigger:it/quick:1.0 stage:middle say:hello get:k wait \
                     status:it/quick:- output:it/quick:- cancel-run:it/quick:- tests:it/quick:- describe:it/quick \
                     pipelines:it answer:it/quick:- sleep now big:60000 get:big later:50000:script:script=say:never list later:80:script-app:app=it,environment=other,\
                     version=3.0,script=set:left:done+trigger:it/other:3.0+wait delete:k get:k releases:it:quick apps rollbacks";
const ANSWER: &str = "ok ok ok ok ok 1 succeeded succeeded 0 ok error:refused error:refused error:not-found \
                      error:not-found reached now ok bytes:60000 left 1 left ok none 1 1 0";
const LEFT: &str = "ok ok succeeded";

/// Returns the typed lines. The run of the second command keeps the host running until the scheduled job starts.
fn typed() -> String {
    format!("{CALLS} &\nscript-app it slow 2.0 trigger:it/slow:2.0 wait\n")
}

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("count.sh", SCRIPT)?;
    Ok(test_host)
}

fn starts(test_host: &TestHost) -> Vec<String> {
    let started = fs::read_to_string(test_host.path("started")).unwrap_or_default();
    let mut versions: Vec<String> = started.lines().map(str::to_owned).collect();
    versions.sort();
    versions
}

/// Returns true if all jobs are finished except the one that is scheduled far in the future.
fn is_over(state: &StoredState) -> bool {
    state.jobs.iter().all(|job| job.end.is_some() || is_never(job))
}

fn is_never(job: &JobRow) -> bool {
    job.parent.is_some() && job.line.contains("say:never")
}

/// Runs until the other jobs are finished, then cancels the job in the far future.
fn run_to_end(test_host: &TestHost, first: Session) -> Result<Vec<Session>> {
    let mut sessions = vec![first];
    run_until(test_host, &mut sessions, is_over)?;
    let last = run_session(test_host, "cancel\n", None)?;
    last.ended_cleanly()?;
    sessions.push(last);
    Ok(sessions)
}

fn check(test_host: &TestHost, sessions: &[Session]) -> Result<()> {
    let state = stored_state(test_host)?;
    state.all_finished()?;
    state.announced_once(sessions)?;
    let mut wanted = Vec::new();
    for job in &state.jobs {
        let end = job.end.as_ref().context("the job is finished")?;
        let (answer, starts): (_, &[&str]) = match &job.parent {
            None if job.line.contains("slow") => ("ok succeeded", &["2.0"]),
            None => (ANSWER, &["1.0"]),
            Some(_) if is_never(job) => ("was cancelled", &[]),
            Some(_) => (LEFT, &["3.0"]),
        };
        ensure!(end.summary.contains(answer), "{}: expected the end {answer}, got {end:?}", job.line);
        ensure!((end.outcome == JobOutcome::Succeeded) != is_never(job), "{}: {end:?}", job.line);
        let released: Vec<&str> =
            state.releases_of(&job.id).into_iter().map(|release| release.version.as_str()).collect();
        ensure!(released == starts, "{}: released {released:?}", job.line);
        wanted.extend(starts.iter().map(|version| (*version).to_owned()));
    }
    wanted.sort();
    ensure!(starts(test_host) == wanted, "started the pipeline runs {:?} instead of {wanted:?}", starts(test_host));
    ensure!([0, 1, 3, 4].contains(&state.jobs.len()), "{} jobs", state.jobs.len());
    Ok(())
}

#[test]
fn every_kind_of_call_survives_a_crash_at_each_point() -> Result<()> {
    let untouched = test_host()?;
    let session = run_session(&untouched, &typed(), None)?;
    session.ended_cleanly()?;
    let points = session.crash_points();
    ensure!(points.len() > 100, "too few crash points: {session:#?}");
    let sessions = run_to_end(&untouched, session)?;
    check(&untouched, &sessions).with_context(|| format!("{sessions:#?}"))?;

    let ran = for_each_point("every kind of call", &points, Clone::clone, |point| {
        let test_host = test_host()?;
        let first = run_session(&test_host, &typed(), Some(point))?;
        let crashed = first.crashed();
        let sessions = run_to_end(&test_host, first)?;
        check(&test_host, &sessions).with_context(|| format!("crashed: {crashed}\n{sessions:#?}"))?;
        Ok(crashed)
    })?;
    let crashed = ran.iter().filter(|crashed| **crashed).count();
    ensure!(
        crashed + points.len() / 10 >= points.len(),
        "too few crash points were reached: {crashed} of {}",
        points.len()
    );
    Ok(())
}
