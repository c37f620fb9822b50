//! `parked jobs`: the memory of a host for 100,000 jobs that wait for a time. `start with parked jobs`: the time
//! from the start of a host with these jobs to its first reply.
//!
//! A release build with its default features serves the guest `bench` on a console, with the plugin in the cache of
//! compiled code. The memory is read some seconds after the host is ready, first without these jobs, then with them. A
//! start is measured from before the process is created to the answer to a line that waits in its input.
//! Invariant: the jobs are valid. At the end the bench shows and cancels one, which replays its journal.

use std::{path::Path, time::Instant};

use anyhow::{Result, ensure};

use crate::{
    copies,
    figure::{Against, Figure, Unit, median},
    host::Host,
    resident::SETTLED,
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "parked jobs";
const NAME_START: &str = "start with parked jobs";

const JOBS: usize = 100_000;
/// The limit in MiB above the same host without the jobs.
const LIMIT: f64 = 50.0;
/// The limit of the start, in seconds.
const LIMIT_START: f64 = 2.0;
const STARTS: usize = 5;
/// The id of the person at the console.
const PERSON: &str = "operator";

pub(crate) fn measure(scene: &Scene) -> Result<Vec<Figure>> {
    let (program, module) = (scene.host()?, scene.guests.join("bench.wasm"));
    let folder = tempfile::tempdir()?;
    let folder = folder.path();
    let text = format!(
        "[store]\nurl = \"sqlite:state/wardroom.db\"\n\n[bot.bench.console]\nuser = \"{PERSON}\"\n\n[people]\nadmins = [\"{PERSON}\"]\n{}",
        scene::plugin("bench", &module)
    );
    std::fs::write(folder.join("plugins.toml"), text)?;
    // The first start compiles the plugin into the cache.
    Host::start(program, folder, "")?.ready()?;
    let idle = resident(program, folder)?;
    let tokio = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    tokio.block_on(copies::make(&folder.join("state/wardroom.db"), &module, JOBS, PERSON))?;
    let parked = resident(program, folder)?;
    let mut seconds = Vec::new();
    for _ in 0..STARTS {
        seconds.push(start(program, folder)?);
    }
    cancel_one(program, folder)?;
    let figure = |name, measured, unit, limit| Figure { name, measured, unit, against: Against::Limit(limit) };
    Ok(vec![
        figure(NAME, parked - idle, Unit::Mebibytes, LIMIT),
        figure(NAME_START, median(seconds), Unit::Seconds, LIMIT_START),
    ])
}

/// Returns the memory of an idle host, in MiB.
fn resident(program: &Path, folder: &Path) -> Result<f64> {
    let host = Host::start(program, folder, "")?;
    host.ready()?;
    std::thread::sleep(SETTLED);
    host.resident()
}

/// Returns the time from a start to the first reply, in seconds.
fn start(program: &Path, folder: &Path) -> Result<f64> {
    let began = Instant::now();
    let mut host = Host::start(program, folder, "")?;
    host.types("whoami")?;
    host.says(&format!("You are {PERSON}"))?;
    let took = began.elapsed().as_secs_f64();
    host.ready()?;
    Ok(took)
}

/// Checks that a copied job behaves like any other.
fn cancel_one(program: &Path, folder: &Path) -> Result<()> {
    let mut host = Host::start(program, folder, "")?;
    let id = copies::id(JOBS / 2);
    host.types(&format!("job {id}"))?;
    host.says("waits until")?;
    host.types(&format!("cancel {id}"))?;
    let card = host.says(": cancelled, ")?;
    ensure!(card.starts_with(&format!("[{id}] park ")), "job {id} was called off, and the host said: {card}");
    Ok(())
}
