//! Installs a program from PyPI into a virtual environment of its own.

use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result};

use crate::{process, tools};

/// The oldest Python that the installed programs run on.
const PYTHON: &str = "3.10";

/// Installs a requirement, for example `matrix-synapse==1.163.2`. Creates the virtual environment if it is missing.
pub(crate) fn install(venv: &Path, requirement: &str) -> Result<()> {
    let python = venv.join("bin/python");
    if !python.exists() || process::read(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        create(venv)?;
    }
    process::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", requirement]).stdout(std::io::stderr()))
}

fn create(venv: &Path) -> Result<()> {
    if tools::find("python3").is_none() {
        tools::apt_install(&["python3", "python3-venv"]).context("Python is missing")?;
    }
    let new_enough = format!("import sys; sys.exit(sys.version_info < tuple(map(int, '{PYTHON}'.split('.'))))");
    process::read(Command::new("python3").args(["-c", &new_enough]))
        .with_context(|| format!("Python {PYTHON} or newer is needed as `python3`"))?;
    let make = || process::read(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
    if make().is_err() {
        // On Debian, `venv` needs a separate package to install pip.
        tools::apt_install(&["python3-venv"]).context("`python3 -m venv` fails on this machine")?;
        make()?;
    }
    Ok(())
}
