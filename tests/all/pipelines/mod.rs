//! Runs the same stories on every kind of pipeline system: local commands, Jenkins, Spinnaker and Tekton.
//!
//! Invariant: a story knows nothing of the kind of the system. What differs is in the file of the kind.

mod exec;
pub(crate) mod jenkins;
mod named;
pub(crate) mod spinnaker;
pub(crate) mod tekton;

use anyhow::{Result, ensure};

use crate::{
    running_host::{RunningHost, eventually},
    test_host::TestHost,
};

/// The part of the configuration that is the same for every kind of system.
const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[role.deployer]
members      = ["@bob:example.org"]
commands     = ["deploy", "rollback"]
apps         = ["*"]
environments = ["*"]

[environment.staging]

[environment.production]
approval = { count = 1, from = "deployer", within = "5m" }

[app.cms]
title = "Content"

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.trigger", "pipelines.wait", "catalog.*"] }]

[plugin.rollback]
module = "{guests}/rollback.wasm"
allow  = [{ call = ["pipelines.trigger", "pipelines.wait", "catalog.*"], beyond = ["version"] }]

[plugin.pipeline]
module = "{guests}/pipeline.wasm"
allow  = [{ call = "pipelines.*" }]
"#;

/// A pipeline system of one kind, with a pipeline for each environment of the app `cms`.
pub(crate) trait System: Sized + Send + Sync {
    fn start() -> impl Future<Output = Result<Self>> + Send;

    /// Writes the files that the configuration needs, and returns the tables of the system and of its pipelines.
    fn configure(&self, test_host: &TestHost) -> Result<String>;

    /// Returns the version of each run that was started, in the order of the starts. A run of the rollback pipeline of
    /// `cms` in `staging` has the version `back-to-1.0.2`.
    fn started(&self, test_host: &TestHost) -> Vec<String>;

    /// Ends a run, counted from 0.
    fn end(&self, test_host: &TestHost, run: usize, succeeds: bool) -> Result<()>;

    /// Returns whether a run was asked to stop.
    fn is_stopped(&self, test_host: &TestHost, run: usize) -> bool;

    /// Lets the system lose its answer to the next start. Returns false if this kind cannot lose an answer.
    fn lose_answer(&self) -> bool;

    /// Lets the system carry out the next start and answer nothing. Returns false if this kind cannot do that.
    fn hold_answer(&self) -> bool;

    /// Lets each run succeed at once.
    fn end_at_once(&self);
}

macro_rules! stories {
    ($($name:ident)*) => {
        mod on_exec {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> { super::$name::<super::exec::Exec>().await })*
        }
        mod on_jenkins {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> { super::$name::<super::jenkins::Jenkins>().await })*
        }
        mod on_spinnaker {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> { super::$name::<super::spinnaker::Spinnaker>().await })*
        }
        mod on_tekton {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $name() -> anyhow::Result<()> { super::$name::<super::tekton::Tekton>().await })*
        }
    };
}

stories! {
    a_deployment_succeeds
    a_deployment_fails
    a_production_deployment_starts_after_its_approval
    a_lost_answer_starts_nothing_twice
    a_killed_host_follows_its_run_again
    a_host_that_is_killed_during_a_start_starts_nothing_twice
    a_cancelled_job_stops_its_run
    a_rollback_runs_its_own_pipeline
}

/// Returns the tables of the pipelines on the system `ci`, whose paths begin with `prefix`.
fn tables(prefix: &str) -> String {
    let table = |table: &str, name: &str, tag: &str| {
        format!(
            "\n[app.cms.{table}]\npipeline = \"{prefix}{name}\"\nparameters = {{ version = '[0-9.]+' }}\nvalues = {{ TAG = \
             \"{tag}{{version}}\" }}\n"
        )
    };
    [
        table("deploy.staging", "staging", ""),
        table("deploy.production", "production", ""),
        table("rollback.staging", "rollback", "back-to-"),
    ]
    .concat()
}

/// Starts a system, and creates a host that uses it.
pub(crate) async fn open<S: System>() -> Result<(S, TestHost)> {
    let system = S::start().await?;
    let test_host = TestHost::new("")?;
    let tables = system.configure(&test_host)?;
    test_host.configure(&format!("{CONFIG}{tables}"))?;
    Ok((system, test_host))
}

/// Waits until a number of runs was started.
fn wait_for_starts<S: System>(system: &S, test_host: &TestHost, count: usize) -> Result<()> {
    eventually(&format!("{count} runs are started"), || Ok(system.started(test_host).len() == count))
}

async fn a_deployment_succeeds<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2")?;
        wait_for_starts(&system, &test_host, 1)?;
        ensure!(system.started(&test_host) == ["1.0.2"]);
        system.end(&test_host, 0, true)?;
        host.wait_for("Content: deployed version 1.0.2 to staging in ")?;
        host.say("where cms")?;
        host.wait_for("1.0.2")?;
        let (status, _) = host.finish()?;
        ensure!(status.success());
        Ok(())
    })
}

async fn a_deployment_fails<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2")?;
        wait_for_starts(&system, &test_host, 1)?;
        system.end(&test_host, 0, false)?;
        host.wait_for("Content: version 1.0.2 to staging failed after ")?;
        host.finish()?;
        Ok(())
    })
}

async fn a_production_deployment_starts_after_its_approval<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms production 1.0.2")?;
        host.wait_for("pipelines.trigger cms/production version 1.0.2")?;
        ensure!(system.started(&test_host).is_empty(), "it was started without an approval");
        host.say("/as @bob:example.org")?;
        host.say("approve")?;
        wait_for_starts(&system, &test_host, 1)?;
        system.end(&test_host, 0, true)?;
        host.wait_for("Content: deployed version 1.0.2 to production in ")?;
        host.finish()?;
        Ok(())
    })
}

async fn a_lost_answer_starts_nothing_twice<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    if !system.lose_answer() {
        return Ok(());
    }
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2")?;
        wait_for_starts(&system, &test_host, 1)?;
        system.end(&test_host, 0, true)?;
        host.wait_for("Content: deployed version 1.0.2 to staging in ")?;
        host.finish()?;
        ensure!(system.started(&test_host).len() == 1, "{:?}", system.started(&test_host));
        Ok(())
    })
}

async fn a_killed_host_follows_its_run_again<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2")?;
        wait_for_starts(&system, &test_host, 1)?;
        host.kill()?;
        let mut host = RunningHost::start(&test_host)?;
        system.end(&test_host, 0, true)?;
        host.wait_for("Content: deployed version 1.0.2 to staging in ")?;
        host.finish()?;
        ensure!(system.started(&test_host).len() == 1, "{:?}", system.started(&test_host));
        Ok(())
    })
}

async fn a_host_that_is_killed_during_a_start_starts_nothing_twice<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    if !system.hold_answer() {
        return Ok(());
    }
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2")?;
        wait_for_starts(&system, &test_host, 1)?;
        host.kill()?;
        system.end(&test_host, 0, true)?;
        let mut host = RunningHost::start(&test_host)?;
        host.wait_for("Content: deployed version 1.0.2 to staging in ")?;
        host.finish()?;
        ensure!(system.started(&test_host).len() == 1, "{:?}", system.started(&test_host));
        Ok(())
    })
}

async fn a_cancelled_job_stops_its_run<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2 &")?;
        wait_for_starts(&system, &test_host, 1)?;
        host.say("cancel")?;
        eventually("the run is stopped", || Ok(system.is_stopped(&test_host, 0)))?;
        host.wait_for("was cancelled")?;
        host.finish()?;
        ensure!(system.started(&test_host).len() == 1);
        Ok(())
    })
}

async fn a_rollback_runs_its_own_pipeline<S: System>() -> Result<()> {
    let (system, test_host) = open::<S>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        for (run, version) in ["1.0.1", "1.0.2"].into_iter().enumerate() {
            host.say(&format!("deploy cms staging {version}"))?;
            wait_for_starts(&system, &test_host, run + 1)?;
            system.end(&test_host, run, true)?;
            host.wait_for(&format!("Content: deployed version {version} to staging in "))?;
        }
        host.say("rollback cms staging")?;
        wait_for_starts(&system, &test_host, 3)?;
        ensure!(system.started(&test_host)[2] == "back-to-1.0.1", "{:?}", system.started(&test_host));
        system.end(&test_host, 2, true)?;
        host.wait_for("rolled staging back")?;
        host.say("where cms")?;
        host.wait_for("1.0.1")?;
        host.finish()?;
        Ok(())
    })
}
