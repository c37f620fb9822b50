//! One session of a host: from its start to its exit or to the crash point at which it is killed.
//!
//! Invariant: each session has its own input, so a session never reads lines that were typed in another session.

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
    running_host::PATIENCE,
    test_host::{TestHost, failpoints},
};

/// A finished session.
#[derive(Debug)]
pub(super) struct Session {
    /// The lines of standard output.
    pub(super) said: Vec<String>,
    /// The crash points that were reached. If the host crashed, the last one is the point of the crash.
    pub(super) points: Vec<String>,
    /// The log: standard error.
    pub(super) log: String,
    status: ExitStatus,
}

/// The input of a running session.
pub(super) struct ConsoleInput {
    child: Child,
    input: ChildStdin,
    began: Instant,
}

/// Runs a session with typed lines, and kills it at a crash point.
pub(super) fn run_session(test_host: &TestHost, typed: &str, crash_at: Option<&str>) -> Result<Session> {
    run_session_with(test_host, crash_at, |input| input.say(typed))
}

/// Runs a session in which a function types the lines.
pub(super) fn run_session_with(
    test_host: &TestHost,
    crash_at: Option<&str>,
    types: impl FnOnce(&mut ConsoleInput) -> Result<()>,
) -> Result<Session> {
    let number = fs::read_dir(test_host.path("."))?.count();
    let path = |name: &str| test_host.path(format!("session-{number}.{name}"));
    let mut command = test_host.command(failpoints()?);
    command
        .arg("run")
        .stdin(Stdio::piped())
        .stdout(File::create(path("out"))?)
        .stderr(File::create(path("log"))?)
        .env("WARDROOM_CRASH_LOG", path("points"));
    if let Some(point) = crash_at {
        command.env("WARDROOM_CRASH_AT", point);
    }
    let mut child = command.spawn()?;
    let input = child.stdin.take().context("standard input is a pipe")?;
    let mut input = ConsoleInput { child, input, began: Instant::now() };
    let text = |name: &str| fs::read_to_string(path(name)).unwrap_or_default();
    let about = || format!("it said:\n{}\n{}", text("out"), text("log"));
    types(&mut input).with_context(about)?;
    let status = input.ended().with_context(about)?;
    let lines = |name: &str| text(name).lines().map(str::to_owned).collect();
    Ok(Session { said: lines("out"), points: lines("points"), log: text("log"), status })
}

impl ConsoleInput {
    /// Types text. Succeeds even if the host has crashed and does not read the text.
    pub(super) fn say(&mut self, text: &str) -> Result<()> {
        match self.input.write_all(text.as_bytes()) {
            Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => Err(error.into()),
            _ => Ok(()),
        }
    }

    /// Waits until `holds` returns true, or until the host has crashed.
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
                bail!("the host has not ended");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
    }

    fn has_time(&mut self, what: &str) -> Result<()> {
        if self.began.elapsed() > PATIENCE {
            self.child.kill()?;
            self.child.wait()?;
            bail!("timed out waiting for {what}");
        }
        std::thread::sleep(Duration::from_millis(2));
        Ok(())
    }
}

impl Session {
    /// Returns true if SIGKILL ended the session.
    pub(super) fn crashed(&self) -> bool {
        self.status.signal() == Some(9)
    }

    /// Checks that the host exited with code 0.
    pub(super) fn ended_cleanly(&self) -> Result<()> {
        ensure!(self.status.success(), "the host ended with {}:\n{}", self.status, self.log);
        self.has_no_internal_error()
    }

    /// Checks that the log has no internal error.
    pub(super) fn has_no_internal_error(&self) -> Result<()> {
        ensure!(!self.log.contains("panicked") && !self.log.contains("Internal error"), "{}", self.log);
        Ok(())
    }

    /// Returns the crash points, each as its name and its count so far.
    pub(super) fn crash_points(&self) -> Vec<String> {
        let mut passed: BTreeMap<&str, usize> = BTreeMap::new();
        let mut names = Vec::with_capacity(self.points.len());
        for point in &self.points {
            let count = passed.entry(point).or_default();
            *count += 1;
            names.push(format!("{point}#{count}"));
        }
        names
    }
}

/// Kills all processes of the test's folder, as the end of a container would. Returns the number of processes.
pub(super) fn kill_all(test_host: &TestHost) -> Result<usize> {
    use rustix::process::{Signal, kill_process};
    let mut killed = 0;
    let began = Instant::now();
    loop {
        let found = test_host.processes()?;
        if found.is_empty() {
            return Ok(killed);
        }
        // Stop all processes first, so that none reacts to the exit of another.
        for signal in [Signal::STOP, Signal::KILL] {
            for process in &found {
                match kill_process(*process, signal) {
                    Ok(()) | Err(rustix::io::Errno::SRCH) => {}
                    Err(error) => return Err(error).context("a process of this test_host can be killed"),
                }
            }
        }
        killed += found.len();
        ensure!(began.elapsed() < PATIENCE, "processes of the host do not end: {found:?}");
        std::thread::sleep(Duration::from_millis(1));
    }
}
