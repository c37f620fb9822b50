//! A deployment and a rollback at the console, with a crash at each crash point, and with a second crash during
//! recovery.

use std::fs;

use anyhow::{Context as _, Result, bail, ensure};
use wardroom::{
    model::Outcome,
    store::{JobOutcome, JobRow},
};

use super::{
    points::for_each_point,
    random::{Random, one_of_each_name, runs_all},
    session::{ConsoleInput, Session, kill_all, run_session, run_session_with},
    stored_state::{StoredState, stored_state},
};
use crate::{journal::Journal, test_host::TestHost};

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

/// A script that logs its starts. It runs long enough to be killed midway, except for the version that is typed last.
pub(super) const SCRIPT: &str = "#!/bin/sh
echo \"$1\" >>started
echo 'step: install'
[ \"$1\" = 2.0 ] || sleep 0.1
";

/// A script that runs until the file `go` exists or it is cancelled.
const SLOW: &str = "#!/bin/sh
echo \"$1\" >>started
until [ -e go ]; do sleep 0.02; done
";

const TYPED: &str = "release record it quick 0.9\ndeploy it quick 1.0\nrollback it quick\n";
/// Typed after a crash, to check that the lock is free and commands work.
const AFTER: &str = "deploy it quick 2.0\n";

/// The processes that a test kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Killed {
    /// Only the host. Its supervisors continue.
    Host,
    /// The host, its supervisors and their programs.
    All,
}

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("count.sh", SCRIPT)?;
    test_host.script("slow.sh", SLOW)?;
    Ok(test_host)
}

/// Returns the number of starts of the script for a version.
pub(super) fn starts(test_host: &TestHost, version: &str) -> usize {
    let started = fs::read_to_string(test_host.path("started")).unwrap_or_default();
    started.lines().filter(|line| *line == version).count()
}

/// Returns the version that a job deploys.
fn version_of(job: &JobRow) -> &str {
    if job.command == "rollback" { "0.9" } else { job.line.rsplit(' ').next().unwrap_or_default() }
}

/// Checks the state after a crash. `ways` are the allowed outcomes of jobs. Returns the number of jobs for each
/// outcome.
fn check<const N: usize>(test_host: &TestHost, ways: [JobOutcome; N], sessions: &[Session]) -> Result<[usize; N]> {
    let state = stored_state(test_host)?;
    state.all_finished()?;
    state.announced_once(sessions)?;
    let mut journal = Journal::open(&test_host.path("state"))?;
    let taken = journal.count("select count(*) from inbox where text like 'deploy%' or text like 'rollback%'")?;
    ensure!(
        i64::try_from(state.jobs.len())? == taken,
        "each message starts one job: {taken} messages, jobs {:?}",
        state.jobs
    );
    let recorded = journal.count("select count(*) from inbox where text like 'release%'")?;
    let records = state.releases.iter().filter(|release| release.recorded).count();
    ensure!(i64::try_from(records)? == recorded, "recorded once: {:?}", state.releases);
    let mut counts = [0; N];
    for job in &state.jobs {
        let outcome = done_once(test_host, &state, job)?;
        match ways.iter().position(|way| *way == outcome) {
            Some(way) => counts[way] += 1,
            None => bail!("{} ended as {outcome:?}", job.line),
        }
    }
    Ok(counts)
}

/// Checks that the effects of a job happened once and match its outcome. Returns the outcome.
pub(super) fn done_once(test_host: &TestHost, state: &StoredState, job: &JobRow) -> Result<JobOutcome> {
    let outcome = job.end.as_ref().context("the job is finished")?.outcome;
    let started = starts(test_host, version_of(job));
    let releases: Vec<_> =
        state.releases_of(&job.id).into_iter().map(|release| (release.version.as_str(), release.outcome)).collect();
    let said = |outcome| releases == [(version_of(job), outcome)];
    let holds = match outcome {
        JobOutcome::Succeeded => started == 1 && said(Outcome::Succeeded),
        // The run was killed, before or after the first line of the script.
        JobOutcome::Unknown => started <= 1 && said(Outcome::Unknown),
        // No run was started, or the run was stopped.
        JobOutcome::Cancelled => (started == 0 && releases.is_empty()) || (started <= 1 && said(Outcome::Cancelled)),
        _ => false,
    };
    ensure!(holds, "{}: outcome {outcome:?}, {started} pipeline runs, releases {releases:?}", job.line);
    Ok(outcome)
}

/// Runs a session without a crash to its end, with typed lines.
pub(super) fn run_to_end(test_host: &TestHost, typed: &str, mut sessions: Vec<Session>) -> Result<Vec<Session>> {
    let last = run_session(test_host, typed, None)?;
    let ended = last.ended_cleanly();
    sessions.push(last);
    ended.with_context(|| format!("{sessions:#?}"))?;
    Ok(sessions)
}

/// Returns the crash points of a session without a crash.
fn points(types: impl FnOnce(&mut ConsoleInput) -> Result<()>) -> Result<Vec<String>> {
    let test_host = test_host()?;
    let session = run_session_with(&test_host, None, types)?;
    session.ended_cleanly()?;
    let names = session.crash_points();
    check(&test_host, [JobOutcome::Succeeded, JobOutcome::Cancelled], &[session])?;
    Ok(names)
}

/// Crashes at a point and runs again. Returns whether the point was reached, and the number of jobs with an unknown
/// outcome.
fn crash_at(point: &str, killed: Killed) -> Result<(bool, usize)> {
    let test_host = test_host()?;
    let first = run_session(&test_host, TYPED, Some(point))?;
    if killed == Killed::All {
        kill_all(&test_host)?;
    }
    let crashed = first.crashed();
    let sessions = run_to_end(&test_host, AFTER, vec![first])?;
    let about = || format!("crashed: {crashed}\n{sessions:#?}");
    let unknown = match killed {
        Killed::Host => check(&test_host, [JobOutcome::Succeeded], &sessions).map(|_| 0),
        Killed::All => {
            check(&test_host, [JobOutcome::Succeeded, JobOutcome::Unknown], &sessions).map(|counts| counts[1])
        }
    };
    ensure!(starts(&test_host, "2.0") == 1, "a later command works: {}", about());
    Ok((crashed, unknown.with_context(about)?))
}

#[test]
fn a_command_survives_a_crash_at_each_point() -> Result<()> {
    let points = points(|input| input.say(TYPED))?;
    ensure!(points.len() > 60, "too few crash points: {points:#?}");
    // At every point, kill only the host. At a sample of the points, kill all processes.
    let host = points.iter().map(|point| (point.clone(), Killed::Host));
    let all = one_of_each_name(&points).into_iter().map(|point| (point, Killed::All));
    let all: Vec<(String, Killed)> = host.chain(all).collect();
    let name = |(point, killed): &(String, Killed)| format!("{point}, killed: {killed:?}");
    let ran = for_each_point("a deployment and a rollback", &all, name, |(point, killed)| crash_at(point, *killed))?;
    let crashed = ran.iter().filter(|(crashed, _)| *crashed).count();
    ensure!(crashed + 8 >= all.len(), "too few crash points were reached: {crashed} of {}", all.len());
    let unknown: usize = ran.iter().map(|(_, unknown)| unknown).sum();
    ensure!(
        unknown >= if runs_all() { 5 } else { 2 },
        "some pipeline runs were killed, too: {unknown} unknown outcomes"
    );
    Ok(())
}

#[test]
fn a_command_survives_a_second_crash_during_recovery() -> Result<()> {
    let points = points(|input| input.say(TYPED))?;
    let mut random = Random::new();
    // A session after a crash reaches at most about as many points as the first one.
    let all: Vec<(String, u64)> =
        (0..60).map(|_| (points[random.below(points.len())].clone(), 1 + random.below(50) as u64)).collect();
    let name = |(point, nth): &(String, u64)| format!("{point}, then {nth} of the next session");
    let twice = for_each_point("killed twice", &all, name, |(point, nth)| {
        let test_host = test_host()?;
        let sessions =
            vec![run_session(&test_host, TYPED, Some(point))?, run_session(&test_host, AFTER, Some(&nth.to_string()))?];
        let crashed = sessions.iter().all(Session::crashed);
        let sessions = run_to_end(&test_host, "", sessions)?;
        check(&test_host, [JobOutcome::Succeeded], &sessions).with_context(|| format!("{sessions:#?}"))?;
        Ok(crashed)
    })?;
    ensure!(twice.into_iter().filter(|crashed| *crashed).count() >= 20, "most crashed twice");
    Ok(())
}

#[test]
fn a_cancellation_survives_a_crash_at_each_point() -> Result<()> {
    let cancel_before_start = |test_host: &TestHost, input: &mut ConsoleInput| -> Result<()> {
        input.say("deploy it slow 1.0 &\n")?;
        input.wait_for("the run's start", || Ok(starts(test_host, "1.0") == 1))?;
        input.say("cancel &\n")
    };
    let untouched = test_host()?;
    let session = run_session_with(&untouched, None, |input| cancel_before_start(&untouched, input))?;
    session.ended_cleanly()?;
    let points = session.crash_points();
    ensure!(points.iter().any(|point| point.contains("cancel")), "{points:#?}");
    ensure!(check(&untouched, [JobOutcome::Cancelled], &[session])? == [1]);
    let ran = for_each_point("a cancel", &points, Clone::clone, |point| {
        let test_host = test_host()?;
        let first = run_session_with(&test_host, Some(point), |input| cancel_before_start(&test_host, input))?;
        let crashed = first.crashed();
        let received =
            Journal::open(&test_host.path("state"))?.count("select count(*) from inbox where text = 'cancel'")?;
        if received == 0 {
            fs::write(test_host.path("go"), "")?;
        }
        let sessions = run_to_end(&test_host, "", vec![first])?;
        let way = if received == 0 { JobOutcome::Succeeded } else { JobOutcome::Cancelled };
        check(&test_host, [way], &sessions)
            .with_context(|| format!("the line was received {received} times: {sessions:#?}"))?;
        Ok(crashed)
    })?;
    let crashed = ran.iter().filter(|crashed| **crashed).count();
    ensure!(crashed + 6 >= points.len(), "too few crash points were reached: {crashed} of {}", points.len());
    Ok(())
}
