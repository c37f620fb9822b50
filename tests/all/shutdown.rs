//! A host that is asked to stop while a plugin does not come to rest: once, and twice.
//!
//! Not here: a stop while a run is waited for (`restart`).

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use rustix::process::{Signal, kill_process};

use crate::{
    host::{Host, eventually},
    house::House,
    journal::Journal,
};

const CONFIG: &str = r#"
[bot.marvin.console]
user = "operator"

[people]
admins = ["operator"]

[plugin.scripted]
module = "{guests}/scripted.wasm"
allow  = [{ call = ["pipelines.*", "catalog.*", "store.*", "jobs.*"] }]

[plugin.scripted.limits]
cpu  = "60s"
wall = "60s"
"#;

/// A host with a plugin at work that makes no call and does not end.
fn spinning(house: &House) -> Result<Host> {
    let mut host = Host::start(house)?;
    host.say("script spin")?;
    let open = "select count(*) from job where ended is null";
    // The database is made while the host starts.
    let opened = || {
        Ok(Journal::open(&house.path("state"))
            .and_then(|mut journal| journal.count(open))
            .is_ok_and(|count| count == 1))
    };
    eventually("the job", opened)?;
    Ok(host)
}

#[test]
fn asked_once_it_ends_before_a_service_manager_kills_it() -> Result<()> {
    let house = House::new(CONFIG)?;
    let (status, took, _) = spinning(&house)?.terminate()?;
    ensure!(status.code() == Some(0), "{status}");
    ensure!(took < Duration::from_secs(15), "{took:?}");
    let jobs = house.wardroom(&["jobs"], "")?;
    ensure!(jobs.out.contains("script spin, by operator: at work"), "{jobs:?}");
    ensure!(house.wardroom(&["journal", "verify"], "")?.code == Some(0));
    Ok(())
}

#[test]
fn asked_twice_it_ends_at_once() -> Result<()> {
    let house = House::new(CONFIG)?;
    let host = spinning(&house)?;
    let began = Instant::now();
    kill_process(host.id(), Signal::INT)?;
    host.hear_log("asked to stop")?;
    kill_process(host.id(), Signal::TERM)?;
    let (code, log) = host.log_when_ended()?;
    ensure!(code == Some(1) && log.contains("asked to stop again"), "{code:?}\n{log}");
    // Long before the host would give up waiting for the plugin.
    ensure!(began.elapsed() < Duration::from_secs(7), "{:?}", began.elapsed());
    ensure!(house.wardroom(&["journal", "verify"], "")?.code == Some(0));
    Ok(())
}
