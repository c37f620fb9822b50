//! A release build of the host that runs in a folder with a `plugins.toml`.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, bail};

/// Timeout for a reply of the host.
const ANSWERS_WITHIN: Duration = Duration::from_secs(60);

/// A running host. Dropping the value kills the process.
pub(crate) struct Host {
    child: Child,
    ready: mpsc::Receiver<Result<(), Vec<String>>>,
    said: mpsc::Receiver<String>,
}

impl Host {
    /// The name of the variable with the secret of a host's bot.
    pub(crate) const SECRET: &str = "BOT_SECRET";

    /// Starts a host whose input stays open. `secret` is the secret of its bot; empty for the console.
    pub(crate) fn start(program: &Path, folder: &Path, secret: &str) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--config", "plugins.toml", "run"]).current_dir(folder).env_remove("RUST_LOG");
        command.env(Self::SECRET, secret);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().with_context(|| format!("the host `{}` does not start", program.display()))?;
        let log = child.stderr.take().context("the host has no standard error")?;
        let output = child.stdout.take().context("the host has no standard output")?;
        let (send_ready, ready) = mpsc::channel();
        let (send_said, said) = mpsc::channel();
        // Read both pipes to their ends, so that the host never blocks on a full pipe.
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.split_whitespace().any(|word| word == "ready") {
                    // Fail if a plugin is missing: a host without plugins needs less memory.
                    let missing = lines.iter().find(|line: &&String| line.contains("not loaded")).cloned();
                    let _ = send_ready.send(missing.map_or(Ok(()), |line| Err(vec![line])));
                }
                lines.push(line);
            }
            let _ = send_ready.send(Err(lines));
        });
        std::thread::spawn(move || {
            for line in BufReader::new(output).lines().map_while(Result::ok) {
                let _ = send_said.send(line);
            }
        });
        Ok(Self { child, ready, said })
    }

    /// Waits until the host has logged that it is ready with all plugins.
    pub(crate) fn ready(&self) -> Result<()> {
        match self.ready.recv_timeout(ANSWERS_WITHIN) {
            Ok(Ok(())) => Ok(()),
            Ok(Err(lines)) => bail!("the host did not load all plugins:\n{}", lines.join("\n")),
            Err(_) => bail!("the host was not ready within {} s", ANSWERS_WITHIN.as_secs()),
        }
    }

    /// Types a line.
    pub(crate) fn types(&mut self, line: &str) -> Result<()> {
        let input = self.child.stdin.as_mut().context("the host has no standard input")?;
        writeln!(input, "{line}").and_then(|()| input.flush()).context("the host does not read its standard input")
    }

    /// Waits for a line of output that contains `words`. Returns the line.
    pub(crate) fn says(&self, words: &str) -> Result<String> {
        let until = Instant::now() + ANSWERS_WITHIN;
        let mut others = Vec::new();
        loop {
            match self.said.recv_timeout(until.saturating_duration_since(Instant::now())) {
                Ok(line) if line.contains(words) => return Ok(line),
                Ok(line) => others.push(line),
                Err(_) => bail!("the host did not print `{words}`; its output:\n{}", others.join("\n")),
            }
        }
    }

    /// Returns the resident memory in MiB.
    pub(crate) fn resident(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.child.id());
        let status = std::fs::read_to_string(&file).with_context(|| format!("`{file}` cannot be read"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the host has ended")?;
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<f64>()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // The host can be killed because it has no work in progress.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
