//! An approved deployment with a crash at each of its crash points: one approval request, one approval, one effect.

use anyhow::{Context as _, Result, ensure};
use wardroom::store::JobOutcome;

use super::{
    command::{SCRIPT, done_once, run_to_end, starts},
    points::for_each_point,
    session::{Session, run_session},
    stored_state::stored_state,
};
use crate::{journal::Journal, test_host::TestHost};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[role.deployer]
members      = ["bob"]
commands     = ["deploy"]
apps         = ["*"]
environments = ["held"]

[environment.held]
approval = { from = "deployer", within = "1h" }

[app.it]

[app.it.deploy.held]
run        = ["./count.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]
"#;

const TYPED: &str = "deploy it held 1.0\n/as bob\napprove\n";
/// Typed in the second session, because the first one may have crashed before it received the line.
const AFTER: &str = "/as bob\napprove\n";

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("count.sh", SCRIPT)?;
    Ok(test_host)
}

/// The checks after any crash.
fn check(test_host: &TestHost, sessions: &[Session]) -> Result<()> {
    let state = stored_state(test_host)?;
    state.all_finished()?;
    let mut journal = Journal::open(&test_host.path("state"))?;
    let received = journal.count("select count(*) from inbox where text like 'deploy%'")?;
    ensure!(
        i64::try_from(state.jobs.len())? == received,
        "each message starts one job: {received} messages, jobs {:?}",
        state.jobs
    );
    for job in &state.jobs {
        let outcome = done_once(test_host, &state, job)?;
        ensure!(outcome == JobOutcome::Succeeded, "{outcome:?}");
        let asked = journal.count("select count(*) from outbox where key like '%/approval-%'")?;
        ensure!(asked == 1, "the approval was requested in {asked} messages");
        for (query, wanted) in [
            ("select count(*) from entry where body ->> 'event' = 'approval-asked'", 1),
            ("select count(*) from entry where body ->> 'event' = 'approval-given'", 1),
            ("select count(*) from entry where body ->> 'event' = 'approved'", 1),
            ("select count(*) from entry where body ->> 'event' = 'not-approved'", 0),
        ] {
            let found = journal.count(query)?;
            ensure!(found == wanted, "{query}: {found}");
        }
        // An approval request is printed again in each of its states. The closing line is printed once, or again around
        // a crash.
        let summary = &job.end.as_ref().context("the job is finished")?.summary;
        let said = sessions.iter().flat_map(|session| &session.said).filter(|line| *line == summary).count();
        let deaths =
            sessions.iter().filter(|session| session.crashed() && session.said.last() == Some(summary)).count();
        ensure!((1..=1 + deaths).contains(&said), "the summary was sent {said} times: {summary}");
    }
    Ok(())
}

#[test]
fn an_approved_deployment_survives_a_crash_at_each_point() -> Result<()> {
    let untouched = test_host()?;
    let session = run_session(&untouched, TYPED, None)?;
    session.ended_cleanly()?;
    let points = session.crash_points();
    check(&untouched, &[session])?;
    ensure!(points.len() > 30, "too few crash points: {points:#?}");
    let ran = for_each_point("an approved deployment", &points, Clone::clone, |point| {
        let test_host = test_host()?;
        let first = run_session(&test_host, TYPED, Some(point))?;
        let crashed = first.crashed();
        let sessions = run_to_end(&test_host, AFTER, vec![first])?;
        check(&test_host, &sessions).with_context(|| format!("crashed: {crashed}\n{sessions:#?}"))?;
        Ok((crashed, starts(&test_host, "1.0")))
    })?;
    let crashed = ran.iter().filter(|(crashed, _)| *crashed).count();
    ensure!(crashed + 6 >= points.len(), "too few crash points were reached: {crashed} of {}", points.len());
    ensure!(ran.iter().any(|(_, starts)| *starts == 1));
    Ok(())
}
