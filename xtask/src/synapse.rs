//! Installs Synapse from PyPI into a separate virtual environment, for the live tests.
//!
//! Invariant: the version is pinned, so that a test fails only because of a change in this repository.
//! Not here: starting and stopping Synapse (each live test starts a server).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, tools, workspace};

const VERSION: &str = "1.163.2";

/// The oldest Python that this Synapse runs on.
const PYTHON: &str = "3.10";

/// Installs Synapse if it is missing. Returns the folder of the virtual environment.
pub(crate) fn install() -> Result<PathBuf> {
    let venv = workspace::cache()?.join("synapse");
    let python = venv.join("bin/python");
    if installed(&python) {
        return Ok(venv);
    }
    if !python.exists() || process::read(Command::new(&python).args(["-m", "pip", "--version"])).is_err() {
        create(&venv)?;
    }
    let wanted = format!("matrix-synapse=={VERSION}");
    process::run(Command::new(&python).args(["-m", "pip", "install", "--quiet", &wanted]).stdout(std::io::stderr()))
        .context("cannot install Synapse from PyPI")?;
    if !installed(&python) {
        bail!(
            "Synapse is installed but does not start; to see the reason, run `{} -m synapse.app.homeserver`",
            python.display()
        );
    }
    Ok(venv)
}

/// Returns true if the pinned version is installed and can be imported.
fn installed(python: &PathBuf) -> bool {
    let ask = "import importlib.metadata as m, synapse.app.homeserver; print(m.version('matrix-synapse'))";
    process::read(Command::new(python).args(["-c", ask])).is_ok_and(|version| version == VERSION)
}

fn create(venv: &PathBuf) -> Result<()> {
    if tools::find("python3").is_none() {
        tools::apt_install(&["python3", "python3-venv"]).context("Python is missing")?;
    }
    let new_enough = format!("import sys; sys.exit(sys.version_info < tuple(map(int, '{PYTHON}'.split('.'))))");
    process::read(Command::new("python3").args(["-c", &new_enough]))
        .with_context(|| format!("Synapse {VERSION} needs Python {PYTHON} or newer as `python3`"))?;
    let make = || process::read(Command::new("python3").args(["-m", "venv", "--clear"]).arg(venv));
    if make().is_err() {
        // On Debian, `venv` needs a separate package to install pip.
        tools::apt_install(&["python3-venv"]).context("`python3 -m venv` fails on this machine")?;
        make()?;
    }
    Ok(())
}
