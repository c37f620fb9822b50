//! Tests freezes that start while jobs run: a job that has already acted in the environment can finish, even after a
//! restart.
//!
//! Not here: freezes without running jobs (the stories `freeze` and `freeze-window`).

use anyhow::{Result, ensure};

use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::{TestHost, go, started, starts},
};

/// The script of a pipeline that runs until the file `go` exists.
const SLOW: &str = "#!/bin/sh
echo \"$1\" >> started
until [ -e \"go-$1\" ]; do sleep 0.02; done
";

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[environment.staging]
[environment.production]

[app.cms]
[app.cms.deploy.staging]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }
[app.cms.deploy.production]
run        = ["./slow.sh", "{version}"]
parameters = { version = '[0-9.]+' }

[app.shop]
[app.shop.deploy.production]
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

/// Returns the versions of all started runs, sorted, because two runs that start together may start in any order.
fn sorted(test_host: &TestHost) -> Vec<String> {
    let mut versions = started(test_host);
    versions.sort();
    versions
}

fn waits(test_host: &TestHost) -> Result<()> {
    eventually("the wait", || {
        let mut journal = Journal::open(&test_host.path("state"))?;
        Ok(journal.count("select count(*) from job where phase = 'run'")? == 1)
    })
}

#[test]
fn a_job_that_acts_already_finishes_and_no_other_starts() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    let script = "trigger:cms/production:1.0 trigger:cms/staging:1.5 any trigger:cms/production:2.0 wait wait";
    host.say(&format!("script-app cms production 1.0 {script} &"))?;
    starts(&test_host, "1.5")?;
    waits(&test_host)?;
    host.say("freeze production reason the database moves &")?;
    host.wait_for("`production` is frozen by operator: the database moves.")?;
    let printed = host.wait_for("is already running and finishes what it has started")?;
    ensure!(
        printed.ends_with(&format!(
            "is already running and finishes what it has started: script-app cms production 1.0 {script}"
        )),
        "{printed}"
    );
    host.wait_for("To lift the freeze: unfreeze production")?;
    // Deploy another app to the same environment, and the same app again.
    host.say("deploy shop production 5.0 &")?;
    host.wait_for("  - freeze: `production` is frozen by operator: the database moves")?;
    host.kill()?;

    // The run of 1.0 is still open, so the job may deploy 2.0 as well.
    let mut host = RunningHost::start(&test_host)?;
    go(&test_host, "1.5")?;
    starts(&test_host, "2.0")?;
    go(&test_host, "1.0")?;
    go(&test_host, "2.0")?;
    host.wait_for("script-app cms production 1.0")?;
    host.say("deploy cms production 6.0")?;
    host.wait_for("Refused: pipelines.trigger cms/production version 6.0")?;
    host.wait_for("  - freeze: `production` is frozen by operator: the database moves")?;
    host.say("unfreeze production")?;
    host.wait_for("production is no longer frozen.")?;
    go(&test_host, "7.0")?;
    host.say("deploy cms production 7.0")?;
    host.wait_for("deployed version 7.0 to production")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(sorted(&test_host) == ["1.0", "1.5", "2.0", "7.0"], "{:?}", started(&test_host));
    Ok(())
}

#[test]
fn an_ended_run_exempts_no_further_effect_and_an_open_one_no_other_app() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    let script = "trigger:cms/production:1.0 any trigger:cms/production:2.0 trigger:cms/staging:3.0 any \
                  trigger:shop/production:4.0 wait trigger:cms/staging:5.0 any trigger:cms/production:6.0";
    host.say(&format!("script {script} &"))?;
    starts(&test_host, "1.0")?;
    go(&test_host, "1.0")?;
    starts(&test_host, "3.0")?;
    waits(&test_host)?;
    host.say("freeze production &")?;
    host.wait_for("To lift the freeze: unfreeze production")?;
    // The run of cms 2.0 is open: it exempts neither shop, nor cms after its end.
    go(&test_host, "3.0")?;
    eventually("the refusal for shop", || {
        let mut journal = Journal::open(&test_host.path("state"))?;
        Ok(journal.count("select count(*) from entry where kind = 'denied'")? == 1)
    })?;
    go(&test_host, "2.0")?;
    starts(&test_host, "5.0")?;
    go(&test_host, "5.0")?;
    host.wait_for("Refused: pipelines.trigger shop/production version 4.0")?;
    host.wait_for("Refused: pipelines.trigger cms/production version 6.0")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(sorted(&test_host) == ["1.0", "2.0", "3.0", "5.0"], "{:?}", started(&test_host));
    Ok(())
}

#[test]
fn an_effect_that_failed_keeps_no_lock_and_exempts_from_no_freeze() -> Result<()> {
    let config = format!(
        "{CONFIG}\n[app.gone]\n[app.gone.deploy.production]\nrun = [\"./gone.sh\", \"{{version}}\"]\n\
         parameters = {{ version = '[0-9.]+' }}\n"
    );
    let test_host = TestHost::new(&config)?;
    test_host.script("slow.sh", SLOW)?;
    test_host.script("gone.sh", "")?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("whoami")?;
    host.wait_for("You may type")?;
    std::fs::remove_file(test_host.path("gone.sh"))?;
    // The first version is invalid. The backend refuses to start the program of the second pipeline.
    host.say(
        "script trigger:cms/production:x trigger:gone/production:1.0 trigger:cms/staging:1.0 wait \
         trigger:cms/production:2.0 &",
    )?;
    starts(&test_host, "1.0")?;
    waits(&test_host)?;
    let mut journal = Journal::open(&test_host.path("state"))?;
    let locks = journal.texts("select app || '/' || environment from place")?;
    ensure!(locks == ["cms/staging"], "{locks:?}");
    let intents = journal.count("select count(*) from entry where kind = 'intent' and attributes like '%\"x\"%'")?;
    ensure!(intents == 0, "invalid arguments are found before the intent");
    host.say("freeze production &")?;
    host.wait_for("To lift the freeze: unfreeze production")?;
    ensure!(!host.said().iter().any(|line| line.contains("already running")), "{:?}", host.said());
    go(&test_host, "1.0")?;
    host.wait_for("Refused: pipelines.trigger cms/production version 2.0")?;
    host.wait_for("  - freeze: `production` is frozen by operator")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(started(&test_host) == ["1.0"], "{:?}", started(&test_host));
    Ok(())
}

#[test]
fn a_job_that_acted_only_in_another_environment_is_frozen() -> Result<()> {
    let test_host = test_host()?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("script trigger:cms/staging:1.0 wait trigger:cms/production:2.0 wait &")?;
    starts(&test_host, "1.0")?;
    waits(&test_host)?;
    host.say("freeze production &")?;
    // The job does not hold a deployment lock in the environment, so the freeze applies to it.
    host.wait_for("`production` is frozen by operator.")?;
    ensure!(host.wait_for("To lift the freeze")? == "To lift the freeze: unfreeze production");
    ensure!(!host.said().iter().any(|line| line.contains("already running")), "{:?}", host.said());
    go(&test_host, "1.0")?;
    host.wait_for("  - freeze: `production` is frozen by operator")?;
    // A scheduled command with an unknown environment matches every environment.
    host.say("script later:60000:script:script=now")?;
    host.wait_for("; the environment of this effect is unknown, so every freeze applies to it")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(started(&test_host) == ["1.0"], "{:?}", started(&test_host));
    Ok(())
}
