//! One life of a host: from its start to its end, or to the place where it kills itself.
//!
//! Invariant: its input is a file, so what it did not read is not read by the next.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    os::unix::process::ExitStatusExt as _,
    process::ExitStatus,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    host::PATIENCE,
    house::{House, binary},
};

/// What a host did while it lived.
#[derive(Debug)]
pub(super) struct Life {
    /// What it said.
    pub(super) said: Vec<String>,
    /// The places that it passed; at the last one it died, if it did.
    pub(super) places: Vec<String>,
    status: ExitStatus,
    log: String,
}

/// Lets a host live in a house: these lines are typed, and it dies at this place.
pub(super) fn live(house: &House, typed: &str, dies_at: Option<&str>) -> Result<Life> {
    let number = fs::read_dir(house.path("."))?.count();
    let path = |name: &str| house.path(format!("life-{number}.{name}"));
    fs::write(path("in"), typed)?;
    let mut command = house.command(binary()?);
    command
        .arg("run")
        .stdin(File::open(path("in"))?)
        .stdout(File::create(path("out"))?)
        .stderr(File::create(path("log"))?)
        .env("WARDROOM_CRASH_LOG", path("places"));
    if let Some(place) = dies_at {
        command.env("WARDROOM_CRASH_AT", place);
    }
    let mut child = command.spawn()?;
    let began = Instant::now();
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if began.elapsed() > PATIENCE {
            child.kill()?;
            child.wait()?;
            bail!("a host does not end; it said:\n{}\n{}", text("out"), text("log"));
        }
        std::thread::sleep(Duration::from_millis(2));
    };
    let lines = |name: &str| text(name).lines().map(str::to_owned).collect();
    Ok(Life { said: lines("out"), places: lines("places"), status, log: text("log") })
}

impl Life {
    /// Whether it killed itself.
    pub(super) fn died(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// It ended by itself, as one that has nothing more to do.
    pub(super) fn ended_well(&self) -> Result<()> {
        ensure!(self.status.success(), "it ended with {}:\n{}", self.status, self.log);
        ensure!(!self.log.contains("panicked") && !self.log.contains("a mistake of the host"), "{}", self.log);
        Ok(())
    }

    /// The places that it passed, each by its name and how often that was passed by then.
    pub(super) fn names(&self) -> Vec<String> {
        let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut names = Vec::with_capacity(self.places.len());
        for place in &self.places {
            let count = passed.entry(place).or_default();
            *count += 1;
            names.push(format!("{place}#{count}"));
        }
        names
    }
}

/// Kills all that is at work in a house, as the end of its container would. Gives how many that were.
pub(super) fn kill_all(house: &House) -> Result<usize> {
    use rustix::process::{Signal, kill_process};
    let mut killed = 0;
    let began = Instant::now();
    loop {
        let found = house.processes()?;
        if found.is_empty() {
            return Ok(killed);
        }
        // All of them stand still first: none sees another one die.
        for signal in [Signal::STOP, Signal::KILL] {
            for process in &found {
                match kill_process(*process, signal) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(error).context("a process of this house can be killed"),
                }
            }
        }
        killed += found.len();
        ensure!(began.elapsed() < PATIENCE, "they do not end: {found:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
