//! Tests a guest that ignores the cancellation of its job.

use std::fs;

use anyhow::{Result, ensure};

use super::{CONFIG, EVIL, guest};
use crate::{
    journal::Journal,
    running_host::{RunningHost, eventually},
    test_host::TestHost,
};

#[test]
fn a_cancelled_job_ends_although_its_plugin_waits_again_and_again() -> Result<()> {
    let test_host = TestHost::new(&format!("{CONFIG}{EVIL}"))?;
    fs::write(test_host.path("evil.wasm"), guest::build("ignores-cancel")?)?;
    let mut host = RunningHost::start(&test_host)?;
    host.say("attack &")?;
    let count = |what: &'static str| Journal::open(&test_host.path("state"))?.count(what);
    // The host creates the database when it starts.
    eventually("the wait", || Ok(count("select count(*) from job where phase = 'time'").is_ok_and(|jobs| jobs == 1)))?;
    host.say("cancel &")?;
    host.wait_for("`attack` was stopped: it waited 20 times for nothing after the job was cancelled.")?;
    let (status, said) = host.finish()?;
    ensure!(status.success(), "{said:?}");
    ensure!(count("select count(*) from job where ended is null")? == 0);
    ensure!(count("select count(*) from entry where kind = 'wait'")? == 20);
    Ok(())
}
