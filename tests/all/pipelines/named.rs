//! Tests of the plugin `pipeline` on a fake Jenkins: pipelines that no app deploys with.

use anyhow::{Result, ensure};

use super::{System, jenkins::Jenkins, open};
use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
};

const JOB: &str = "tools/clean up";
const NAME: &str = "\"ci:tools/clean up\"";

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_listed_run_and_answered() -> Result<()> {
    let (system, test_host) = open::<Jenkins>().await?;
    tokio::task::block_in_place(|| {
        let server = &system.server;
        let mut host = RunningHost::start(&test_host)?;
        host.say("pipeline list ci clean")?;
        host.wait_for("ci:tools/clean up")?;
        host.say(&format!("pipeline show {NAME}"))?;
        host.wait_for("ci:tools/clean up takes:")?;
        host.wait_for("TAG")?;
        host.wait_for("It has no runs.")?;

        host.say(&format!("pipeline run {NAME} TAG=1.10 &"))?;
        let tag = || server.builds(JOB).first().map(|build| build.parameters.clone()).unwrap_or_default();
        eventually("the build is started", || Ok(tag().contains(&("TAG".to_owned(), "1.10".to_owned()))))?;
        server.stage(JOB, 1, "Deploy", "PAUSED_PENDING_INPUT");
        server.input(JOB, 1, "Promote", "Promote to all hosts?");
        server.log(JOB, 1, b"one\ntwo\n");
        host.say(&format!("pipeline status {NAME} 1 &"))?;
        host.wait_for("1/1 Deploy: paused")?;
        host.wait_for("It waits for an answer to \"Promote to all hosts?\": pipeline answer")?;
        host.say(&format!("pipeline log {NAME} 1 &"))?;
        host.wait_for("two")?;
        host.say(&format!("pipeline answer {NAME} 1 proceed &"))?;
        host.wait_for("ci:tools/clean up: run 1 goes on at \"Promote to all hosts?\".")?;
        ensure!(server.builds(JOB)[0].signals == ["proceedEmpty"]);
        host.say(&format!("pipeline answer {NAME} 1 proceed &"))?;
        host.wait_for("run 1 does not wait for an answer")?;
        server.test_report(JOB, 1, 41, &["cms.LoginTest.logs_in"]);
        host.say(&format!("pipeline tests {NAME} 1 &"))?;
        host.wait_for("41 tests passed, 1 failed, 0 were left out.")?;
        host.wait_for("cms.LoginTest.logs_in")?;
        server.end(JOB, 1, "SUCCESS");
        host.wait_for("ci:tools/clean up succeeded in ")?;
        host.finish()?;
        let mut journal = Journal::open(&test_host.path("state"))?;
        ensure!(
            journal.count("select count(*) from release")? == 0,
            "an opened pipeline deploys no version of the app"
        );
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_a_person_is_stopped() -> Result<()> {
    let (system, test_host) = open::<Jenkins>().await?;
    tokio::task::block_in_place(|| {
        system.server.build_by("eve", JOB, &[("TAG", "3.0")]);
        let mut host = RunningHost::start(&test_host)?;
        host.say(&format!("pipeline cancel {NAME} 1"))?;
        host.wait_for("ci:tools/clean up: asked to stop run 1.")?;
        ensure!(system.server.builds(JOB)[0].signals == ["stop"]);
        host.say(&format!("pipeline status {NAME} 1"))?;
        host.wait_for("run 1 cancelled after")?;
        host.say(&format!("pipeline status {NAME} 9"))?;
        host.wait_for("Jenkins shows no run `9` of this pipeline")?;
        host.say(&format!("pipeline status {NAME} seven"))?;
        host.wait_for("`seven` is not the number of a build")?;
        host.finish()?;
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn only_opened_pipelines_and_known_parameters_are_accepted() -> Result<()> {
    let (system, test_host) = open::<Jenkins>().await?;
    tokio::task::block_in_place(|| {
        system.server.pipeline("secret/prod");
        let mut host = RunningHost::start(&test_host)?;
        host.say("pipeline list ci")?;
        host.wait_for("ci:tools/clean up")?;
        host.say("pipeline run ci:secret/prod")?;
        host.wait_for("the pipeline `ci:secret/prod` is not configured")?;
        host.say("pipeline run \"ci:web/cms production\" TAG=1.0")?;
        host.wait_for("the pipeline `ci:web/cms production` is not configured by this name; it is `cms/production`")?;
        host.say("pipeline run \"ci:tools/Clean up\" TAG=1.0")?;
        host.wait_for("the job `tools/Clean up` is called `tools/clean up` in Jenkins; write its name so")?;
        host.say("pipeline show other:x")?;
        host.wait_for("the pipeline `other:x` is not configured")?;
        host.say(&format!("pipeline run {NAME} OTHER=1"))?;
        host.wait_for("does not define `OTHER`, so Jenkins would ignore the value; it defines `TAG`")?;
        host.say(&format!("pipeline run {NAME} 1.0.2"))?;
        host.wait_for("the parameters cannot be read; write `NAME=VALUE` for each")?;
        host.say(&format!("pipeline run {NAME} WARDROOM_RUN=x"))?;
        host.wait_for("the host sets the parameter `WARDROOM_RUN` itself")?;
        ensure!(!host.said().iter().any(|line| line.contains("secret/prod`") && line.contains("ci:secret/prod,")));
        host.finish()?;
        ensure!(system.started(&test_host).is_empty() && system.server.builds(JOB).is_empty());
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_without_a_role_sees_and_does_nothing() -> Result<()> {
    let (system, test_host) = open::<Jenkins>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("/as @eve:example.org")?;
        host.say(&format!("pipeline run {NAME} TAG=1"))?;
        host.wait_for("you may not run `pipeline run`")?;
        host.finish()?;
        ensure!(system.started(&test_host).is_empty() && system.server.builds(JOB).is_empty());
        Ok(())
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_of_a_run_is_only_good_for_its_own_pipeline() -> Result<()> {
    let (system, test_host) = open::<Jenkins>().await?;
    tokio::task::block_in_place(|| {
        let mut host = RunningHost::start(&test_host)?;
        host.say("deploy cms staging 1.0.2 &")?;
        eventually("the build is started", || Ok(system.started(&test_host).len() == 1))?;
        let parameters = system.server.builds("web/cms staging")[0].parameters.clone();
        let key =
            parameters.into_iter().find(|(name, _)| name == "WARDROOM_RUN").map(|(_, key)| key).unwrap_or_default();
        host.say(&format!("pipeline log {NAME} {key} &"))?;
        host.wait_for(&format!("`{key}` is not a run of the pipeline `ci:tools/clean up`"))?;
        host.say(&format!("pipeline cancel {NAME} {key} &"))?;
        host.wait_for(&format!("`{key}` is not a run of the pipeline `ci:tools/clean up`"))?;
        host.say(&format!("pipeline status cms/staging {key} &"))?;
        host.wait_for("cms/staging: run 1 running")?;
        // The number of the build names the same run, which is then cancelled with its job.
        host.say("pipeline cancel cms/staging 1 &")?;
        eventually("the build is stopped", || Ok(system.is_stopped(&test_host, 0)))?;
        host.wait_for("was cancelled")?;
        host.finish()?;
        Ok(())
    })
}
