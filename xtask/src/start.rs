//! `cargo xtask start`: from a fresh clone to the prompt.
//!
//! Invariant: the task replaces itself with the host (same process id, terminal and standard input), so that input goes to
//! the host and the host's exit code is the task's.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step::Steps;
use crate::{guests, process, workspace};

/// Builds guests and host, then runs the host with these arguments.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let configuration = workspace::root().join("plugins.toml");
    if !configuration.is_file() {
        bail!("{} is missing", configuration.display());
    }
    let mut steps = Steps::new(3);
    steps.run("building the guests", || guests::build(None))?;
    steps.run("building the host with console, exec and sqlite (some minutes the first time)", || {
        process::run(workspace::cargo()?.args(["build", "--package", "wardroom-cli"]))
    })?;
    steps.begin("starting the host on plugins.toml");
    let program = workspace::target()?.join("debug/wardroom");
    let error = Command::new(&program)
        .current_dir(workspace::root())
        .args(["run", "--config", "plugins.toml"])
        .args(arguments)
        .exec();
    Err(error).with_context(|| format!("cannot run {}", program.display()))
}
