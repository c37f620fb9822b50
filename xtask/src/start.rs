//! `cargo xtask start`: builds a fresh clone and starts its host.
//!
//! Invariant: the task replaces itself with the host by `exec`, so that the host keeps the task's process id, terminal
//! and standard input, and its exit code becomes the task's exit code.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step::Steps;
use crate::{guests, process, workspace};

/// Builds guests and host, then runs the host with `arguments`.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let configuration = workspace::root().join("plugins.toml");
    if !configuration.is_file() {
        bail!("{} is missing; restore it from git", configuration.display());
    }
    let mut steps = Steps::new(3);
    steps.run("building the guests", || guests::build(None))?;
    steps.run("building the host with console, exec and sqlite (the first build takes some minutes)", || {
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
