//! Tests open jobs at the console: deployment locks, the queue, cancellation, scheduled
//! commands.
//!
//! Not here: crashes (`crash`, `restart`), and stories without waiting.

use anyhow::{Result, ensure};

use crate::{
    hostile::guest,
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::{TestHost, go, started, starts},
};

/// The script of a pipeline with output that runs until the file `go` exists or it is stopped.
const SLOW: &str = "#!/bin/sh
trap 'echo stopped >> stopped; exit 143' TERM
echo \"step: install $1\"
echo \"$1\" >> started
until [ -e \"go-$1\" ]; do sleep 0.02; done
echo installed
";

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[role.deployer]
members      = ["@bob:example.org", "@carol:example.org"]
commands     = ["deploy", "script", "script-app"]
apps         = ["*"]
environments = ["staging"]

[environment.staging]
[environment.production]

[app.cms]
[app.cms.deploy.staging]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }
[app.cms.deploy.production]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[plugin.deploy]
module = "{guests}/deploy.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*"] }]

[plugin.scripted]
module = "{guests}/scripted.wasm"

[[plugin.scripted.allow]]
call   = ["pipelines.trigger", "jobs.later", "jobs.cancel"]
beyond = ["app", "environment", "version", "parameter"]

[[plugin.scripted.allow]]
call = ["pipelines.*", "catalog.*", "jobs.list", "store.*"]
"#;

fn test_host() -> Result<TestHost> {
    let test_host = TestHost::new(CONFIG)?;
    test_host.script("slow.sh", SLOW)?;
    Ok(test_host)
}

/// Returns the id at the start of a card or a line: `[7f3ak] ...` or `7f3ak: ...`.
fn id(line: &str) -> String {
    line.trim_start_matches('[').chars().take_while(char::is_ascii_alphanumeric).collect()
}

#[test]
fn an_action_on_a_held_deployment_lock_is_refused_or_queued() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("deploy cms staging 1.0 &")?;
    starts(&test_host, "1.0")?;
    host.say("/as @bob:example.org")?;
    host.say("deploy cms staging 2.0 &")?;
    let printed = host.wait_for("the deployment lock of cms/staging is held by job")?;
    ensure!(
        printed.contains("(`deploy cms staging 1.0`, by operator); add `--wait` to queue the command"),
        "the holder is named, and the way out: {printed}"
    );
    host.say("deploy --wait cms staging 3.0 &")?;
    host.wait_for("queued for the deployment lock of cms/staging, held by job")?;
    host.say("deploy cms staging 4.0 --wait &")?;
    host.wait_for("deploy --wait cms staging 4.0: queued")?;
    // The lock of another environment is free.
    host.say("/as operator")?;
    host.say("deploy cms production 9.0 &")?;
    starts(&test_host, "9.0")?;
    go(&test_host, "9.0")?;
    host.wait_for("deployed version 9.0 to production")?;
    ensure!(started(&test_host) == ["1.0", "9.0"], "{:?}", started(&test_host));

    // A queued job that is cancelled has no effect.
    host.say("jobs &")?;
    let third = id(&host.wait_for("deploy --wait cms staging 3.0, by")?);
    host.say(&format!("cancel {third} &"))?;
    host.wait_for("was cancelled")?;
    go(&test_host, "1.0")?;
    starts(&test_host, "4.0")?;
    go(&test_host, "4.0")?;
    host.wait_for("deployed version 4.0 to staging")?;
    ensure!(started(&test_host) == ["1.0", "9.0", "4.0"], "in the order of the line: {:?}", started(&test_host));
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    let mut journal = Journal::open(&test_host.path("state"))?;
    ensure!(
        journal.count("select count(*) from place")? == 0
            && journal.count("select count(*) from job where ended is null")? == 0
    );
    Ok(())
}

#[test]
fn cancelling_a_job_stops_its_run() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("deploy cms staging 1.0 &")?;
    starts(&test_host, "1.0")?;
    eventually("the wait", || {
        let mut journal = Journal::open(&test_host.path("state"))?;
        Ok(journal.count("select count(*) from job where phase = 'run'")? == 1)
    })?;
    host.say("job &")?;
    let line = host.wait_for("waits for cms/staging, since")?;
    host.wait_for("stage: \"cms/staging is running\"")?;
    host.wait_for("holds the deployment lock of cms/staging")?;
    host.say("logs &")?;
    host.wait_for("Last output of cms/staging:")?;
    host.wait_for("step: install 1.0")?;
    // A person without the right to start the job there cannot cancel it.
    host.say("/as @mallory:example.org")?;
    host.say(&format!("cancel {} &", id(&line)))?;
    host.wait_for("There is no job")?;
    // A person with that right can cancel it, even if somebody else started it.
    host.say("/as @bob:example.org")?;
    host.say(&format!("cancel {} &", id(&line)))?;
    host.wait_for("is cancelled: `deploy cms staging 1.0` is being stopped")?;
    host.wait_for("version 1.0 to staging was cancelled after")?;
    eventually("the run's own end", || Ok(test_host.path("stopped").exists()))?;
    host.say("/as operator")?;
    host.say("history cms &")?;
    host.wait_for("1.0 was cancelled")?;
    host.say(&format!("cancel {} &", id(&line)))?;
    host.wait_for("has already ended: cancelled")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_plugin_cancelled_during_a_timer_can_clean_up() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    // After the cancellation the plugin cannot wait for a timer, but its other calls succeed.
    host.say("script after:600000 sleep set:tidied:up sleep get:tidied &")?;
    host.wait_for("waits until")?;
    host.say("cancel &")?;
    host.wait_for("is cancelled")?;
    host.wait_for("ok cancelled ok cancelled up")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_command_for_later_is_listed_runs_once_and_can_be_cancelled() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("script later:600000:script:script=set:never:done later:1200:script:script=set:done:yes list &")?;
    host.wait_for("left left 2")?;
    host.say("jobs &")?;
    let never = id(&host.wait_for("script set:never:done, by operator: begins at")?);
    host.say(&format!("cancel {never} &"))?;
    host.wait_for("was cancelled by operator.")?;
    host.wait_for("Nothing was changed.")?;
    host.wait_for("script set:done:yes: succeeded")?;
    host.say("peek get:done get:never &")?;
    host.wait_for("yes none")?;
    // A command of the same plugin cancels the scheduled job.
    host.say("script later:600000:script:script=now call-off list &")?;
    host.wait_for("left ok 0")?;
    host.say("jobs &")?;
    host.wait_for("No job is open.")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_command_for_later_needs_a_grant_for_arguments_that_were_not_typed() -> Result<()> {
    let test_host = test_host()?;
    test_host.configure(&CONFIG.replace("beyond = [\"app\", \"environment\", \"version\", \"parameter\"]", ""))?;
    let mut host = RunningHost::start(&test_host)?;
    let later = "later:600000:script-app:app=cms,environment=production,version=1.0,script=now";
    host.say(&format!("script-app cms staging 1.0 {later} &"))?;
    host.wait_for("denied")?;
    host.wait_for("typed:")?;
    host.say("/as @bob:example.org")?;
    host.say(&format!("script-app cms staging 1.0 {later} list &"))?;
    host.wait_for("role: no role lets @bob:example.org run `script-app` on cms/production")?;
    host.say("jobs &")?;
    host.wait_for("No job is open.")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    Ok(())
}

#[test]
fn a_plugin_can_wait_for_the_first_of_several_runs_and_timers() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("script trigger:cms/staging:1.0 trigger:cms/production:2.0 after:300000 any any &")?;
    starts(&test_host, "2.0")?;
    let stored = |query: &'static str| Journal::open(&test_host.path("state"))?.count(query);
    eventually("the first wait", || Ok(stored("select count(*) from entry where kind = 'wait'")? == 1))?;
    go(&test_host, "2.0")?;
    eventually("the first release", || Ok(stored("select count(*) from release")? == 1))?;
    go(&test_host, "1.0")?;
    host.wait_for("ok ok ok succeeded succeeded")?;
    let (status, _) = host.finish()?;
    ensure!(status.success());
    let mut journal = Journal::open(&test_host.path("state"))?;
    ensure!(journal.texts("select environment from release order by seq")? == ["production", "staging"]);
    Ok(())
}

#[test]
fn a_plugin_cancels_only_jobs_that_the_caller_may_see() -> Result<()> {
    const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[role.attacker]
members      = ["@bob:example.org", "@mallory:example.org"]
commands     = ["attack"]
apps         = ["*"]
environments = ["*"]

[plugin.evil]
module = "evil.wasm"
allow  = [{ call = "jobs.*", beyond = ["parameter"] }]
"#;
    let test_host = TestHost::new(CONFIG)?;
    std::fs::write(test_host.path("evil.wasm"), guest::build("cancels")?)?;
    let ran = test_host.wardroom(&["run"], "/as @bob:example.org\nattack --word=x\nattack --word=x\n")?;
    let scheduled = |test_host: &TestHost| -> Result<Vec<String>> {
        Journal::open(&test_host.path("state"))?
            .texts("select id from job where phase = 'later' and ended is null order by seq")
    };
    let ids = scheduled(&test_host)?;
    let [one, two] = ids.as_slice() else { anyhow::bail!("{ids:?} {ran:?}") };
    let ran = test_host.wardroom(&["run"], format!("/as @mallory:example.org\nattack --word={one}\n"))?;
    ensure!(ran.out.contains(&format!("has not scheduled the job `{one}`")), "{ran:?}");
    ensure!(scheduled(&test_host)? == ids);
    // An admin and the person who scheduled a job may cancel it.
    let typed = format!("attack --word={one}\n/as @bob:example.org\nattack --word={two}\n");
    let ran = test_host.wardroom(&["run"], typed)?;
    ensure!(scheduled(&test_host)?.is_empty(), "{ran:?}");
    Ok(())
}
