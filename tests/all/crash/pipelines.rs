//! A deployment on each kind of pipeline system with a crash at the points of its calls, and with a crash at such a point
//! while the answer to the start is lost: exactly one run is started, and one closing line is printed.
//!
//! Without `--all`, each kind gets one random point of each name.

use anyhow::{Context as _, Result, ensure};
use wardroom::store::JobOutcome;

use super::{
    points::for_each_point,
    random::one_of_each_name,
    session::{Session, run_session},
    stored_state::{run_until, stored_state},
};
use crate::{
    pipelines::{System, jenkins::Jenkins, open, spinnaker::Spinnaker, tekton::Tekton},
    test_host::TestHost,
};

const DEPLOY: &str = "deploy cms staging 1.0.2\n";

#[test]
fn a_deployment_on_jenkins_starts_one_build_after_a_crash_at_each_point() -> Result<()> {
    crash_everywhere::<Jenkins>("Jenkins")
}

#[test]
fn a_deployment_on_spinnaker_starts_one_execution_after_a_crash_at_each_point() -> Result<()> {
    crash_everywhere::<Spinnaker>("Spinnaker")
}

#[test]
fn a_deployment_on_tekton_creates_one_run_after_a_crash_at_each_point() -> Result<()> {
    crash_everywhere::<Tekton>("Tekton")
}

fn crash_everywhere<S: System>(kind: &str) -> Result<()> {
    // The fake servers answer in the runtime, while the sessions block their threads.
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let (system, test_host) = runtime.block_on(open::<S>())?;
    system.end_at_once();
    let untouched = run_session(&test_host, DEPLOY, None)?;
    untouched.ended_cleanly()?;
    check(&system, &test_host, std::slice::from_ref(&untouched))?;
    // The points before the first call of the pipeline system are those of any job (`command`).
    let points = untouched.crash_points();
    let first = points.iter().position(|point| point.contains("before start")).unwrap_or_default();
    let points = one_of_each_name(&points[first.saturating_sub(2)..]);
    ensure!(points.len() >= 4, "too few crash points: {points:#?}");
    let all: Vec<(String, bool)> =
        points.iter().flat_map(|point| [(point.clone(), false), (point.clone(), true)]).collect();
    let name = |(point, is_lost): &(String, bool)| format!("{kind} {point}, the answer is lost: {is_lost}");
    let ran = for_each_point(kind, &all, name, |(point, is_lost)| {
        let (system, test_host) = runtime.block_on(open::<S>())?;
        system.end_at_once();
        if *is_lost {
            system.lose_answer();
        }
        let session = run_session(&test_host, DEPLOY, Some(point))?;
        let crashed = session.crashed();
        let mut sessions = vec![session];
        run_until(&test_host, &mut sessions, |state| {
            !state.jobs.is_empty() && state.jobs.iter().all(|job| job.end.is_some())
        })?;
        check(&system, &test_host, &sessions).with_context(|| format!("crashed: {crashed}\n{sessions:#?}"))?;
        Ok(crashed)
    })?;
    let crashed = ran.iter().filter(|crashed| **crashed).count();
    ensure!(crashed * 3 >= all.len() * 2, "too few crash points were reached: {crashed} of {}", all.len());
    Ok(())
}

fn check<S: System>(system: &S, test_host: &TestHost, sessions: &[Session]) -> Result<()> {
    let state = stored_state(test_host)?;
    state.all_finished()?;
    state.announced_once(sessions)?;
    ensure!(state.jobs.len() == 1, "{:?}", state.jobs);
    let outcome = state.jobs[0].end.as_ref().map(|end| end.outcome);
    ensure!(outcome == Some(JobOutcome::Succeeded), "{:?}", state.jobs[0]);
    ensure!(system.started(test_host) == ["1.0.2"], "{:?}", system.started(test_host));
    ensure!(state.releases.len() == 1, "{:?}", state.releases);
    Ok(())
}
