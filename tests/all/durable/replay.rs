//! Runs random scripts with random crashes and changed grants: a job has the same result as without crashes.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};
use wardroom::{
    model::Outcome,
    store::{EntryKind, JobOutcome, JobPhase, JobRow, Store as _, Write},
};

use super::harness::Harness;

/// Returns the configuration of the guest `scripted`, with a grant for these calls.
pub(super) fn config(calls: &str) -> String {
    format!(
        r#"
[bot.marvin.memory]

[people]
admins = ["operator"]

[environment.staging]
[environment.production]

[app.cms]
[app.cms.deploy.staging]
memory     = true
parameters = {{ version = '[0-9.]+' }}
[app.cms.deploy.production]
memory     = true
parameters = {{ version = '[0-9.]+' }}

[plugin.scripted]
module = "{{guests}}/scripted.wasm"
allow  = [{{ call = [{calls}], beyond = ["app", "environment", "version", "parameter"] }}, {{ call = [{UNUSED}, "catalog.*", "jobs.list", "store.*"] }}]
"#
    )
}

/// All calls that the scripts use.
pub(super) const ALL: &str = r#""pipelines.trigger", "pipelines.wait", "jobs.later", "jobs.cancel""#;
/// Calls that the plugin imports and the scripts do not use.
const UNUSED: &str = r#""pipelines.list", "pipelines.describe", "pipelines.status", "pipelines.output", "pipelines.tests", "pipelines.cancel", "pipelines.answer""#;
/// The calls that the scripts use, without triggers.
const FEW: &str = r#""pipelines.wait", "jobs.later", "jobs.cancel""#;

/// Generates one step of a script.
fn step() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => Just("trigger:cms/staging:1.0".to_owned()),
        1 => Just("trigger:cms/production:2.0".to_owned()),
        4 => Just("wait".to_owned()),
        2 => Just("any".to_owned()),
        2 => (1..8_u32).prop_map(|span| format!("after:{span}")),
        2 => Just("sleep".to_owned()),
        2 => (0..3_u32, 0..100_u32).prop_map(|(key, value)| format!("set:k{key}:{value}")),
        2 => (0..3_u32).prop_map(|key| format!("get:k{key}")),
        1 => (0..3_u32).prop_map(|key| format!("delete:k{key}")),
        1 => Just("now".to_owned()),
        1 => Just("say:hello".to_owned()),
        1 => Just("stage:testing".to_owned()),
        1 => Just("apps".to_owned()),
        1 => Just("big:20000".to_owned()),
        1 => Just("later:3:script:script=set:left:1".to_owned()),
    ]
}

fn script() -> impl Strategy<Value = String> {
    prop::collection::vec(step(), 1..12).prop_map(|steps| format!("script {}", steps.join(" ")))
}

/// The results of all jobs, without values that depend on the time.
#[derive(Debug, PartialEq)]
struct Outcomes {
    outcome: Option<JobOutcome>,
    said: Option<String>,
    runs: usize,
    values: BTreeMap<String, Vec<u8>>,
}

fn outcomes(harness: &Harness) -> Result<Outcomes> {
    let jobs = harness.jobs();
    let typed = jobs.iter().find(|job| job.parent.is_none());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    let values = runtime.block_on(harness.store.values("scripted", "", 1000))?;
    Ok(Outcomes {
        outcome: typed.and_then(|job| job.end.as_ref()).map(|end| end.outcome),
        said: typed.and_then(|job| job.end.as_ref()).map(|end| end.summary.clone()),
        runs: harness.pipelines.runs().len(),
        values: values.into_iter().collect(),
    })
}

/// Checks the state after any number of crashes.
fn check(harness: &Harness) -> Result<()> {
    harness.verify()?;
    // Each run has an intent, and each successful trigger has a run.
    let mut started = 0;
    for job in harness.jobs() {
        ensure!(job.end.is_some(), "job {} is {:?}", job.id, job.status);
        for sealed in harness.entries(&job.id)? {
            let answer = &sealed.entry.body["answer"]["Ok"]["id"];
            if sealed.entry.kind == EntryKind::Result && sealed.entry.call == "pipelines.trigger" && !answer.is_null() {
                started += 1;
            }
        }
    }
    ensure!(
        started == harness.pipelines.runs().len(),
        "the journals have {started} started pipeline runs, and the backend has {}",
        harness.pipelines.runs().len()
    );
    // Each message was sent once under its key.
    let mut keys: Vec<String> = harness.chat.sent().into_iter().map(|message| message.key).collect();
    let all = keys.len();
    keys.sort();
    keys.dedup();
    ensure!(keys.len() == all);
    // The closing line of a success takes the place of the card.
    let is_closed = |job: &&JobRow| {
        let succeeded = job.end.as_ref().is_some_and(|end| end.outcome == JobOutcome::Succeeded);
        let key = format!("{}/{}", job.id, if succeeded { "card" } else { "closing" });
        keys.iter().any(|sent| *sent == key || sent.starts_with(&format!("{key}/")))
    };
    let jobs = harness.jobs();
    let closings = jobs.iter().filter(is_closed).count();
    ensure!(closings == jobs.len(), "{closings} closing lines of {} jobs", jobs.len());
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    ensure!(
        runtime.block_on(harness.store.outbox())?.is_empty() && runtime.block_on(harness.store.unhandled())?.is_empty()
    );
    ensure!(runtime.block_on(harness.store.locks())?.is_empty());
    Ok(())
}

fn failure(error: anyhow::Error) -> TestCaseError {
    TestCaseError::fail(format!("{error:#}"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 20, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_job_has_the_same_result_over_repeated_crashes(
        script in script(),
        crashes in prop::collection::vec(1..30_u32, 0..8),
    ) {
        let whole = Harness::new(Some(Outcome::Succeeded)).map_err(failure)?;
        prop_assert!(whole.run(&config(ALL), &[&script], None).map_err(failure)?);
        check(&whole).map_err(failure)?;

        let broken = Harness::new(Some(Outcome::Succeeded)).map_err(failure)?;
        let mut typed = vec![script.as_str()];
        for calls in &crashes {
            broken.run(&config(ALL), &typed, Some(*calls)).map_err(failure)?;
            // Type a line again that did not reach the inbox, as a network would deliver it again.
            if broken.has_received().map_err(failure)? {
                typed.clear();
            }
        }
        prop_assert!(broken.run(&config(ALL), &typed, None).map_err(failure)?);
        check(&broken).map_err(failure)?;
        prop_assert_eq!(outcomes(&whole).map_err(failure)?, outcomes(&broken).map_err(failure)?);
    }

    #[test]
    fn a_removed_grant_denies_from_the_next_call_on(
        script in script(),
        crash in 1..40_u32,
    ) {
        let harness = Harness::new(Some(Outcome::Succeeded)).map_err(failure)?;
        harness.run(&config(ALL), &[&script], Some(crash)).map_err(failure)?;
        let before = harness.pipelines.runs().len();
        let typed: &[&str] = if harness.has_received().map_err(failure)? { &[] } else { &[&script] };
        prop_assert!(harness.run(&config(FEW), typed, None).map_err(failure)?);
        check(&harness).map_err(failure)?;
        prop_assert_eq!(before, harness.pipelines.runs().len(), "no pipeline run is started without a grant");
    }

    #[test]
    fn a_job_ends_whenever_it_is_cancelled(
        script in script(),
        crash in 1..40_u32,
    ) {
        let harness = Harness::new(None).map_err(failure)?;
        let config = config(ALL);
        harness.run_for(&config, &[&script], Some(crash), Duration::from_millis(300)).map_err(failure)?;
        if let Some(job) = harness.jobs().first() {
            let cancel = format!("cancel {}", job.id);
            // End the run that starts after the cancellation. It is cleanup, so the host does not cancel it.
            let pipelines = harness.pipelines.clone();
            let ending = std::thread::spawn(move || {
                for _ in 0..20 {
                    std::thread::sleep(Duration::from_millis(100));
                    pipelines.end(Outcome::Succeeded);
                }
            });
            prop_assert!(harness.run(&config, &[&cancel], None).map_err(failure)?);
            let _ = ending.join();
            check_cancelled(&harness).map_err(failure)?;
        }
    }
}

/// Checks the state of cancelled jobs.
fn check_cancelled(harness: &Harness) -> Result<()> {
    harness.verify()?;
    for job in harness.jobs().iter().filter(|job| job.parent.is_none()) {
        ensure!(job.end.is_some() && job.status.phase != JobPhase::Held, "job {} is {:?}", job.id, job.status);
    }
    let going = harness.pipelines.runs().into_values().filter(|run| run.end.is_none()).count();
    ensure!(going == 0, "{going} pipeline runs have not finished");
    Ok(())
}

#[test]
fn a_plugin_stores_no_more_than_its_quota() -> Result<()> {
    let harness = Harness::new(Some(Outcome::Succeeded))?;
    let value =
        |key: u32| Write::SetValue { plugin: "scripted".to_owned(), key: format!("k{key}"), value: b"1".into() };
    let runtime = tokio::runtime::Builder::new_current_thread().build()?;
    runtime.block_on(harness.store.commit((0..10_000).map(value).collect()))?;
    let script = "script set:new:1 set:k0:2 set:k0:22 delete:k1 set:new:1";
    ensure!(harness.run(&config(ALL), &[script], None)?);
    let said = harness.chat.words().join("\n");
    ensure!(said.contains("error:limit ok ok ok ok"), "{said}");
    Ok(())
}
