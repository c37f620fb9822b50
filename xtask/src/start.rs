//! `cargo xtask start`: from a fresh clone to the prompt.
//!
//! Invariant: it becomes the host (same process id, same terminal, same standard input), so that
//! what is typed and piped goes to the host and its exit code is the task's.

use std::os::unix::process::CommandExt as _;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::step::Steps;
use crate::{guests, process, workspace};

/// Builds guests and host, then runs the host with the arguments given.
pub(crate) fn run(arguments: &[&str]) -> Result<()> {
    let configuration = workspace::root().join("plugins.toml");
    if !configuration.is_file() {
        bail!("there is no {}", configuration.display());
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
