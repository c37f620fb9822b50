//! A running host with a console: types lines and waits for output.
//!
//! Invariant: dropping a [`RunningHost`] kills the process, even after a failed test.

use std::{
    fs,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Command, ExitStatus, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

use crate::test_host::{TestHost, binary};

/// Timeout of each wait. It is much longer than a wait, because the machine may be busy.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

/// A running host.
pub(crate) struct RunningHost {
    child: Child,
    input: Option<ChildStdin>,
    lines: Receiver<String>,
    said: Vec<String>,
    log: std::path::PathBuf,
}

impl RunningHost {
    pub(crate) fn start(test_host: &TestHost) -> Result<Self> {
        let mut command = test_host.command(binary()?);
        command.arg("run");
        Self::of(test_host, command)
    }

    /// Starts a host with another command line.
    pub(crate) fn of(test_host: &TestHost, mut command: Command) -> Result<Self> {
        let log = test_host.path(format!("host-{}.log", fs::read_dir(test_host.path("."))?.count()));
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(fs::File::create(&log)?).spawn()?;
        let input = child.stdin.take();
        let output = child.stdout.take().context("standard output is a pipe")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    return;
                }
            }
        });
        Ok(Self { child, input, lines, said: Vec::new(), log })
    }

    /// Types a line.
    pub(crate) fn say(&mut self, line: &str) -> Result<()> {
        let input = self.input.as_mut().context("its input was closed")?;
        writeln!(input, "{line}").and_then(|()| input.flush()).with_context(|| self.log())
    }

    /// Waits for a line of output that contains `words`. Returns the line.
    pub(crate) fn wait_for(&mut self, words: &str) -> Result<String> {
        let until = Instant::now() + PATIENCE;
        loop {
            match self.lines.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) => {
                    self.said.push(line.clone());
                    if line.contains(words) {
                        return Ok(line);
                    }
                }
                Err(RecvTimeoutError::Timeout) => {
                    bail!("timed out waiting for `{words}`; output:\n{}\n{}", self.said.join("\n"), self.log())
                }
                Err(RecvTimeoutError::Disconnected) => {
                    bail!(
                        "the host ended before it printed `{words}`; output:\n{}\n{}",
                        self.said.join("\n"),
                        self.log()
                    )
                }
            }
        }
    }

    /// Waits for a line of the log that contains `words`.
    pub(crate) fn wait_for_log(&self, words: &str) -> Result<()> {
        let what = format!("`{words}` in the log");
        eventually(&what, || Ok(fs::read_to_string(&self.log)?.contains(words))).with_context(|| self.log())
    }

    /// Closes the input and waits for the exit. Returns the status and all output.
    pub(crate) fn finish(mut self) -> Result<(ExitStatus, Vec<String>)> {
        self.input = None;
        let status = self.ended()?;
        Ok((status, self.rest()))
    }

    /// Waits for the exit. Returns the exit code and the log.
    pub(crate) fn log_when_ended(mut self) -> Result<(Option<i32>, String)> {
        Ok((self.ended()?.code(), self.log()))
    }

    /// Returns the output that no wait has returned yet.
    pub(crate) fn drain(&mut self) -> Vec<String> {
        self.lines.try_iter().collect()
    }

    /// Kills the process. Its output can still be read.
    pub(crate) fn kill_now(&mut self) -> Result<()> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(())
    }

    /// Kills the process with SIGKILL. Returns all output.
    pub(crate) fn kill(mut self) -> Result<Vec<String>> {
        self.child.kill()?;
        self.child.wait()?;
        Ok(self.rest())
    }

    /// Sends SIGTERM while the input is open. Returns the status, the time until the exit and all output.
    pub(crate) fn terminate(mut self) -> Result<(ExitStatus, Duration, Vec<String>)> {
        let began = Instant::now();
        rustix::process::kill_process(self.id(), rustix::process::Signal::TERM)?;
        let status = self.ended()?;
        Ok((status, began.elapsed(), self.rest()))
    }

    pub(crate) fn id(&self) -> rustix::process::Pid {
        rustix::process::Pid::from_child(&self.child)
    }

    /// Returns the peak resident memory in MiB.
    pub(crate) fn peak_mib(&self) -> Result<u64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).context("the kernel says how much")?;
        Ok(line.trim().trim_end_matches(" kB").parse::<u64>()? / 1024)
    }

    /// Returns all lines of output so far.
    pub(crate) fn said(&mut self) -> &[String] {
        self.said.extend(self.lines.try_iter());
        &self.said
    }

    /// Returns the log, for the error of a failed test.
    pub(crate) fn log(&self) -> String {
        fs::read_to_string(&self.log).unwrap_or_default()
    }

    fn ended(&mut self) -> Result<ExitStatus> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait()? {
                return Ok(status);
            }
            if Instant::now() > until {
                bail!("the host has not ended; output:\n{}\n{}", self.said.join("\n"), self.log());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
    }

    fn rest(&mut self) -> Vec<String> {
        // The reader ends when the last process with the pipe exits.
        while let Ok(line) = self.lines.recv_timeout(Duration::from_secs(5)) {
            self.said.push(line);
        }
        std::mem::take(&mut self.said)
    }
}

impl Drop for RunningHost {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Waits until `holds` returns true.
pub(crate) fn eventually(what: &str, mut holds: impl FnMut() -> Result<bool>) -> Result<()> {
    let until = Instant::now() + PATIENCE;
    while !holds()? {
        if Instant::now() > until {
            bail!("timed out waiting for {what}");
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(())
}
