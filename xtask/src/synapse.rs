//! Installs Synapse from PyPI into a separate virtual environment, for the live tests.
//!
//! Invariant: the version is pinned, so that a test fails only because of a change in this repository.
//! Not here: starting and stopping Synapse (each live test starts a server).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, venv, workspace};

const VERSION: &str = "1.163.2";

/// Installs Synapse if it is missing. Returns the folder of the virtual environment.
pub(crate) fn install() -> Result<PathBuf> {
    let venv = workspace::cache()?.join("synapse");
    let python = venv.join("bin/python");
    if installed(&python) {
        return Ok(venv);
    }
    venv::install(&venv, &format!("matrix-synapse=={VERSION}")).context("cannot install Synapse from PyPI")?;
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
