//! Runs many jobs for few deployment locks, with crashes: no two jobs hold a lock at once, and every queued job gets
//! it.

use anyhow::{Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};
use wardroom::{
    model::Outcome,
    store::{DeploymentLock, EntryKind, JobOutcome, JobPhase},
};

use super::{
    harness::Harness,
    replay::{ALL, config},
};

/// The time during which a job held a lock: from its first effect under the lock to its last entry.
struct Held {
    lock: DeploymentLock,
    job: String,
    from: wardroom::Timestamp,
    to: wardroom::Timestamp,
}

fn held(harness: &Harness) -> Result<Vec<Held>> {
    let mut all = Vec::new();
    for job in harness.jobs() {
        let entries = harness.entries(&job.id)?;
        let Some(last) = entries.last().map(|sealed| sealed.entry.at) else { continue };
        let mut seen = Vec::new();
        for sealed in entries.iter().filter(|sealed| sealed.entry.kind == EntryKind::Intent) {
            let one = |name: &str| sealed.entry.attributes[name][0].clone();
            let lock = DeploymentLock { app: one("app"), environment: one("environment") };
            if !seen.contains(&lock) {
                seen.push(lock.clone());
                all.push(Held { lock, job: job.id.clone(), from: sealed.entry.at, to: last });
            }
        }
    }
    Ok(all)
}

fn check_exclusive(harness: &Harness) -> Result<()> {
    let held = held(harness)?;
    for (index, one) in held.iter().enumerate() {
        for other in held[index + 1..].iter().filter(|other| other.lock == one.lock && other.job != one.job) {
            ensure!(
                one.to <= other.from || other.to <= one.from,
                "the lock {} was held by {} from {} to {} and by {} from {} to {}",
                one.lock,
                one.job,
                one.from,
                one.to,
                other.job,
                other.from,
                other.to
            );
        }
    }
    Ok(())
}

fn failure(error: anyhow::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:#}"))
}

/// Generates the command of a job that needs one lock and may queue for it.
fn command() -> impl Strategy<Value = String> {
    ("staging|production", any::<bool>()).prop_map(|(environment, wait)| {
        let wait = if wait { "--wait " } else { "" };
        format!("script-app {wait}cms {environment} 1.0 trigger:cms/{environment}:1.0 wait after:2 sleep")
    })
}

/// Returns the queued jobs in the order in which they got the lock.
fn turns(harness: &Harness, since: &[String]) -> Result<Vec<String>> {
    let mut turns = Vec::new();
    for id in since {
        let entries = harness.entries(id)?;
        let first = entries.iter().find(|sealed| sealed.entry.kind == EntryKind::Intent);
        turns.push((first.map(|sealed| sealed.entry.at), id.clone()));
    }
    turns.sort();
    Ok(turns.into_iter().map(|(_, id)| id).collect())
}

/// Creates a state in which one job holds the lock, four are queued, and the host is down. Returns the queue.
fn in_line(harness: &Harness, config: &str) -> Result<Vec<String>> {
    let holder = "script-app cms staging 1.0 trigger:cms/staging:1.0 wait after:3600000 sleep";
    let waiter = "script-app --wait cms staging 1.0 trigger:cms/staging:1.0 wait";
    let count = |harness: &Harness, phase| harness.jobs().iter().filter(|job| job.status.phase == phase).count();
    harness.run_until(config, &[holder], |harness| count(harness, JobPhase::Time) == 1)?;
    harness.run_until(config, &[waiter; 4], |harness| count(harness, JobPhase::Queued) == 4)?;
    let mut line = harness.jobs();
    line.retain(|job| job.status.phase == JobPhase::Queued);
    line.sort_by_key(|job| job.status.since);
    Ok(line.into_iter().map(|job| job.id).collect())
}

/// Crashes the host with a queue again after this many calls.
fn killed_in_line(calls: u32) -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let config = config(ALL);
    let line = in_line(&harness, &config)?;
    // The timer of the job that holds the lock has expired.
    harness.clock.set(7200);
    harness.run(&config, &[], Some(calls))?;
    ensure!(harness.run(&config, &[], None)?);
    let turns = turns(&harness, &line)?;
    ensure!(
        turns == line,
        "after a crash at call {calls}: the jobs were queued as {line:?} and got the lock as {turns:?}"
    );
    Ok(())
}

#[test]
fn the_queue_keeps_its_order_over_restarts() -> Result<()> {
    // Compile the plugin once into the cache for all later runs.
    Harness::new(Some(Outcome::Succeeded))?.run(&config(ALL), &["script now"], None)?;
    std::thread::scope(|scope| {
        let killed: Vec<_> = (2..42).step_by(4).map(|calls| scope.spawn(move || killed_in_line(calls))).collect();
        killed.into_iter().try_for_each(|one| one.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic)))
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 25, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn no_two_jobs_hold_a_lock_at_once_and_every_queued_job_runs(
        commands in prop::collection::vec(command(), 1..8),
        crashes in prop::collection::vec(5..60_u32, 0..4),
    ) {
        let harness = Harness::new(Some(Outcome::Succeeded)).map_err(failure)?;
        let config = config(ALL);
        let mut typed: Vec<&str> = commands.iter().map(String::as_str).collect();
        for calls in &crashes {
            harness.run(&config, &typed, Some(*calls)).map_err(failure)?;
            typed.clear();
        }
        prop_assert!(harness.run(&config, &typed, None).map_err(failure)?);
        harness.verify().map_err(failure)?;
        check_exclusive(&harness).map_err(failure)?;
        prop_assert!(!crashes.is_empty() || harness.jobs().len() == commands.len(), "{:?}", harness.chat.words());
        for job in harness.jobs() {
            let Some(end) = &job.end else { panic!("job {} is open: {:?}", job.id, job.status) };
            prop_assert_eq!(end.outcome, JobOutcome::Succeeded, "{}", end.summary);
            // A job with `--wait` gets the lock. A job without `--wait` may fail because another job holds the lock.
            let turned = end.summary.contains("error:busy");
            prop_assert!(!turned || !job.line.contains("--wait"), "{}: {}", job.line, end.summary);
        }
    }
}
