//! One life of a host: from its start to its end, or to the place where it kills itself.
//!
//! Invariant: each life has an input of its own, so what one did not read is not read by the next.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::Write as _,
    os::unix::process::ExitStatusExt as _,
    process::{Child, ChildStdin, ExitStatus, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::{
    host::PATIENCE,
    house::{House, failpoints},
};

/// What a host did while it lived.
#[derive(Debug)]
pub(super) struct Life {
    /// What it said.
    pub(super) said: Vec<String>,
    /// The places that it passed; at the last one it died, if it did.
    pub(super) places: Vec<String>,
    /// Its log.
    pub(super) log: String,
    status: ExitStatus,
}

/// Types to a host for as long as it lives.
pub(super) struct Typist {
    child: Child,
    input: ChildStdin,
    began: Instant,
}

/// Lets a host live in a house: these lines are typed, and it dies at this place.
pub(super) fn live(house: &House, typed: &str, dies_at: Option<&str>) -> Result<Life> {
    live_with(house, dies_at, |typist| typist.say(typed))
}

/// The same, with somebody who types.
pub(super) fn live_with(
    house: &House,
    dies_at: Option<&str>,
    types: impl FnOnce(&mut Typist) -> Result<()>,
) -> Result<Life> {
    let number = fs::read_dir(house.path("."))?.count();
    let path = |name: &str| house.path(format!("life-{number}.{name}"));
    let mut command = house.command(failpoints()?);
    command
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(File::create(path("out"))?)
        .stderr(File::create(path("log"))?)
        .env("WARDROOM_CRASH_LOG", path("places"));
    if let Some(place) = dies_at {
        command.env("WARDROOM_CRASH_AT", place);
    }
    let mut child = command.spawn()?;
    let input = child.stdin.take().context("standard input is a pipe")?;
    let mut typist = Typist { child, input, began: Instant::now() };
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let about = || format!("it said:\n{}\n{}", text("out"), text("log"));
    types(&mut typist).with_context(about)?;
    let status = typist.ended().with_context(about)?;
    let lines = |name: &str| text(name).lines().map(str::to_owned).collect();
    Ok(Life { said: lines("out"), places: lines("places"), log: text("log"), status })
}

impl Typist {
    /// Types. A host that is dead does not hear it.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        match self.input.write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Waits until something holds, or until the host is dead.
    pub(super) fn wait_for(&mut self, what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
        while !holds()? {
            if self.child.try_wait()?.is_some() {
                return Ok(());
            }
            self.has_time(what)?;
        }
        Ok(())
    }

    /// Kills the host.
    pub(super) fn kill(&mut self) -> Result<()> {
        Ok(self.child.kill()?)
    }

    fn ended(self) -> Result<ExitStatus> {
        let Self { mut child, input, began } = self;
        drop(input);
        loop {
            if let Some(status) = child.try_wait()? {
                return Ok(status);
            }
            if began.elapsed() > PATIENCE {
                child.kill()?;
                child.wait()?;
                bail!("it does not end");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn has_time(&mut self, what: &str) -> Result<()> {
        if self.began.elapsed() > PATIENCE {
            self.child.kill()?;
            self.child.wait()?;
            bail!("waited for {what}");
        }
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }
}

impl Life {
    /// Whether it was killed.
    pub(super) fn died(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// It ended by itself, as one that has nothing more to do.
    pub(super) fn ended_well(&self) -> Result<()> {
        ensure!(self.status.success(), "it ended with {}:\n{}", self.status, self.log);
        self.made_no_mistake()
    }

    /// However it ended, nothing in its log is a mistake of its own.
    pub(super) fn made_no_mistake(&self) -> Result<()> {
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
