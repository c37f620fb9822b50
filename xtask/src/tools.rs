//! Installs the programs that the tasks need in addition to Rust.
//!
//! Invariant: Debian packages are installed only as root, or with `sudo` if `sudo` does not ask for a password.
//! Otherwise the error gives the command to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, report, workspace};

/// The release of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20";

/// The release of mdBook that `docs/book.toml` is written for.
const MDBOOK: &str = "0.5";

/// Returns the path of a program in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Installs Debian packages.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    let line = packages.join(" ");
    let Some(mut prefix) = privileged() else {
        bail!(
            "cannot install {line}: this task does not run as root and `sudo` asks for a password; run \
             `sudo apt-get install {line}`, then repeat the task"
        );
    };
    prefix.push("apt-get");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        // Print to standard error, because standard output may be a pipe.
        command.stdout(std::io::stderr());
        command
    };
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    report(&format!("installing {line} with apt-get\n"));
    if process::run(&mut apt(&install)).is_ok() {
        return Ok(());
    }
    // The package lists of a new machine may be empty or old. Update them and try again.
    process::run(&mut apt(&["update", "--quiet"]))?;
    process::run(&mut apt(&install)).with_context(|| format!("cannot install {line}"))
}

/// Returns the prefix of an apt-get command line, for example `sudo -n`. Returns `None` if packages cannot be
/// installed.
fn privileged() -> Option<Vec<&'static str>> {
    find("apt-get")?;
    let root = process::read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    if root {
        return Some(vec!["env"]);
    }
    let sudo = process::run(Command::new("sudo").args(["-n", "true"]).stderr(std::process::Stdio::null())).is_ok();
    sudo.then(|| vec!["sudo", "-n"])
}

/// Installs rustfmt and clippy with rustup if they are missing, as in a minimal toolchain.
pub(crate) fn rust_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::read(workspace::cargo()?.args([subcommand, "--version"])).is_ok() {
            continue;
        }
        find("rustup").with_context(|| {
            format!("`cargo {subcommand}` is missing and `rustup` is not installed to add it; install `{component}`")
        })?;
        report(&format!("adding {component} with rustup\n"));
        process::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// Returns the path of cargo-deny in the release [`CARGO_DENY`]. Installs it if it is missing.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    installed("cargo-deny", "cargo-deny ", CARGO_DENY, &[])
}

/// Returns the path of mdBook in the release [`MDBOOK`]. Installs it if it is missing, without its server and its
/// search.
pub(crate) fn mdbook() -> Result<PathBuf> {
    installed("mdbook", "mdbook v", MDBOOK, &["--no-default-features"])
}

/// Returns the path of a program, from `PATH` or installed into the cache from the crate of the same name. `prefix` is
/// the text before the number in the output of `--version`.
fn installed(name: &str, prefix: &str, release: &str, features: &[&str]) -> Result<PathBuf> {
    let fits = |program: &Path| {
        let version = process::read(Command::new(program).arg("--version")).unwrap_or_default();
        version.starts_with(&format!("{prefix}{release}."))
    };
    if let Some(found) = find(name).filter(|found| fits(found)) {
        return Ok(found);
    }
    let tools = workspace::cache()?.join("tools");
    let program = tools.join("bin").join(name);
    if !fits(&program) {
        report(&format!("installing {name} (only once; it takes some minutes)\n"));
        let mut install = workspace::cargo()?;
        install.args(["install", "--quiet", "--locked", "--force", name, "--version", &format!("~{release}")]);
        // Without optimization the build is twice as fast, and the program runs for seconds only.
        install.args(features).args(["--debug", "--root"]).arg(&tools).env("CARGO_PROFILE_DEV_DEBUG", "none");
        install.env("CARGO_TARGET_DIR", workspace::cache()?.join("tools-target"));
        process::run(&mut install)?;
    }
    Ok(program)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_are_found_in_the_path() {
        assert!(find("sh").is_some());
        assert_eq!(find("no-program-has-this-name"), None);
    }
}
