//! `resident memory`: what a host keeps of the machine while nobody types.
//!
//! A release build with its default features runs the checkout's own `plugins.toml`, with its state in a new folder:
//! the plugins are compiled at this very start, which takes more memory than finding them in the cache.

use std::{
    io::{BufRead as _, BufReader},
    path::Path,
    process::{Child, Command, Stdio},
    sync::mpsc,
    time::Duration,
};

use anyhow::{Context as _, Result, bail};

use crate::{
    figure::{Against, Figure, Unit},
    scene::{self, Scene},
};

pub(crate) const NAME: &str = "resident memory";

/// MiB.
const LIMIT: f64 = 60.0;
/// A start that takes longer is broken.
const READY_WITHIN: Duration = Duration::from_secs(60);
/// How long after it is ready a host is looked at.
const SETTLED: Duration = Duration::from_secs(5);

pub(crate) fn measure(scene: &Scene) -> Result<Figure> {
    let program = scene.host.as_ref().context("`WARDROOM_BIN_RELEASE` names no host; start with: cargo xtask bench")?;
    let folder = tempfile::tempdir()?;
    let root = std::path::absolute(scene::root())?;
    std::fs::copy(root.join("plugins.toml"), folder.path().join("plugins.toml"))?;
    // What the sample names beside itself.
    std::os::unix::fs::symlink(&scene.guests, folder.path().join("guests"))?;
    std::os::unix::fs::symlink(root.join("sample"), folder.path().join("sample"))?;
    let host = Host::start(program, folder.path())?;
    std::thread::sleep(SETTLED);
    let measured = host.resident()?;
    Ok(Figure { name: NAME, measured, unit: Unit::Mebibytes, against: Against::Limit(LIMIT) })
}

/// A host that is ready, and is ended with this.
struct Host(Child);

impl Host {
    /// Starts a host with an input that stays open; returns when it says that it is ready.
    fn start(program: &Path, folder: &Path) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(["--config", "plugins.toml", "run"]).current_dir(folder).env_remove("RUST_LOG");
        command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::piped());
        let started = command.spawn().with_context(|| format!("`{}` does not start", program.display()))?;
        let mut host = Self(started);
        let log = host.0.stderr.take().context("the host has no standard error")?;
        let (send, ready) = mpsc::channel();
        // Reads to the end, so that the host never waits for its log.
        std::thread::spawn(move || {
            let mut lines = Vec::new();
            for line in BufReader::new(log).lines().map_while(Result::ok) {
                if line.split_whitespace().any(|word| word == "ready") {
                    // Without its plugins a host is small.
                    let missing = lines.iter().find(|line: &&String| line.contains("not loaded")).cloned();
                    let _ = send.send(missing.map_or(Ok(()), |line| Err(vec![line])));
                }
                lines.push(line);
            }
            let _ = send.send(Err(lines));
        });
        match ready.recv_timeout(READY_WITHIN) {
            Ok(Ok(())) => Ok(host),
            Ok(Err(lines)) => bail!("the host does not serve its sample:\n{}", lines.join("\n")),
            Err(_) => bail!("the host was not ready within {} s", READY_WITHIN.as_secs()),
        }
    }

    /// MiB of memory that are in use now.
    fn resident(&self) -> Result<f64> {
        let file = format!("/proc/{}/status", self.0.id());
        let status = std::fs::read_to_string(&file).with_context(|| format!("`{file}` cannot be read"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("the host is gone")?;
        let kibibytes = line.trim().trim_end_matches(" kB").parse::<f64>()?;
        Ok(kibibytes / 1024.0)
    }
}

impl Drop for Host {
    fn drop(&mut self) {
        // It has done nothing that must come to rest.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
