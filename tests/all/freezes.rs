//! Freezes that begin while jobs are at work: what acts already goes on to its end, over a restart too.
//!
//! Not here: what needs nobody to wait (the stories `freeze` and `freeze-window`).

use std::fs;

use anyhow::{Result, ensure};

use crate::{
    host::{Host, eventually},
    house::House,
    journal::Journal,
};

/// A pipeline that goes on until it may end.
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
call = ["pipelines.wait", "catalog.*", "jobs.list", "store.*"]
"#;

fn house() -> Result<House> {
    let house = House::new(CONFIG)?;
    house.script("slow.sh", SLOW)?;
    Ok(house)
}

fn started(house: &House) -> Vec<String> {
    fs::read_to_string(house.path("started")).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn starts(house: &House, version: &str) -> Result<()> {
    eventually(&format!("the start of {version}"), || Ok(started(house).iter().any(|known| known == version)))
}

fn go(house: &House, version: &str) -> Result<()> {
    Ok(fs::write(house.path(format!("go-{version}")), "")?)
}

fn waits(house: &House) -> Result<()> {
    eventually("the wait", || {
        let mut journal = Journal::open(&house.path("state"))?;
        Ok(journal.count("select count(*) from job where phase = 'run'")? == 1)
    })
}

#[test]
fn what_acts_already_goes_on_to_its_end_and_nothing_else_begins() -> Result<()> {
    let house = house()?;
    let mut host = Host::start(&house)?;
    let script = "trigger:cms/production:1.0 wait trigger:cms/production:2.0 wait";
    host.say(&format!("script-app cms production 1.0 {script} &"))?;
    starts(&house, "1.0")?;
    waits(&house)?;
    host.say("freeze production reason the database moves &")?;
    host.hear("production is frozen by operator: the database moves.")?;
    let told = host.hear("goes on to its end")?;
    ensure!(told.ends_with(&format!("goes on to its end: script-app cms production 1.0 {script}")), "{told}");
    host.hear("Lift it: unfreeze production")?;
    // Another place in the same environment, and the same place.
    host.say("deploy shop production 5.0 &")?;
    host.hear("  - freeze: production is frozen by operator: the database moves")?;
    host.kill()?;

    let mut host = Host::start(&house)?;
    go(&house, "1.0")?;
    starts(&house, "2.0")?;
    go(&house, "2.0")?;
    host.hear("script-app cms production 1.0")?;
    host.say("deploy cms production 6.0")?;
    host.hear("Refused: pipelines.trigger cms/production version 6.0")?;
    host.hear("  - freeze: production is frozen by operator: the database moves")?;
    host.say("unfreeze production")?;
    host.hear("production is no longer frozen.")?;
    go(&house, "7.0")?;
    host.say("deploy cms production 7.0")?;
    host.hear("deployed version 7.0 to production")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(started(&house) == ["1.0", "2.0", "7.0"], "{:?}", started(&house));
    Ok(())
}

#[test]
fn who_acted_elsewhere_only_is_held_in_the_middle() -> Result<()> {
    let house = house()?;
    let mut host = Host::start(&house)?;
    host.say("script trigger:cms/staging:1.0 wait trigger:cms/production:2.0 wait &")?;
    starts(&house, "1.0")?;
    waits(&house)?;
    host.say("freeze production &")?;
    // It holds no place there, so it is not among those that go on.
    host.hear("production is frozen by operator.")?;
    ensure!(host.hear("Lift it")? == "Lift it: unfreeze production");
    ensure!(!host.said().iter().any(|line| line.contains("goes on")), "{:?}", host.said());
    go(&house, "1.0")?;
    host.hear("  - freeze: production is frozen by operator")?;
    // Work for later of which nobody knows where it will act could act anywhere.
    host.say("script later:60000:script:script=now")?;
    host.hear("; where this effect takes place is not known, so it counts as everywhere")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(started(&house) == ["1.0"], "{:?}", started(&house));
    Ok(())
}
