//! Installs the programs that the tasks need besides Rust.
//!
//! Invariant: Debian packages are installed only as root or through a `sudo` that needs no password. Otherwise the error
//! gives the command to run.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{process, report, workspace};

/// The release of cargo-deny that `deny.toml` is written for.
const CARGO_DENY: &str = "0.20";

/// The release of mdBook that `docs/book.toml` is written for.
const MDBOOK: &str = "0.5";

/// The path of a program in `PATH`.
pub(crate) fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH")?;
    std::env::split_paths(&path).map(|folder| folder.join(program)).find(|file| file.is_file())
}

/// Installs Debian packages.
pub(crate) fn apt_install(packages: &[&str]) -> Result<()> {
    let line = packages.join(" ");
    let Some(mut prefix) = privileged() else {
        bail!(
            "cannot install {line}: not root and `sudo` asks for a password; run `sudo apt-get install {line}`, then try again"
        );
    };
    prefix.push("apt-get");
    let apt = |arguments: &[&str]| {
        let mut command = Command::new(prefix[0]);
        command.args(&prefix[1..]).args(arguments).env("DEBIAN_FRONTEND", "noninteractive");
        // To standard error: standard output may be a pipe.
        command.stdout(std::io::stderr());
        command
    };
    let install = [&["install", "--yes", "--quiet", "--no-install-recommends"], packages].concat();
    report(&format!("installing {line} with apt-get\n"));
    if process::run(&mut apt(&install)).is_ok() {
        return Ok(());
    }
    // The package lists of a new machine are empty or old.
    process::run(&mut apt(&["update", "--quiet"]))?;
    process::run(&mut apt(&install)).with_context(|| format!("cannot install {line}"))
}

/// The prefix of an apt-get command line, or `None` where packages cannot be installed.
fn privileged() -> Option<Vec<&'static str>> {
    find("apt-get")?;
    let root = process::read(Command::new("id").arg("-u")).is_ok_and(|id| id == "0");
    if root {
        return Some(vec!["env"]);
    }
    let sudo = process::run(Command::new("sudo").args(["-n", "true"]).stderr(std::process::Stdio::null())).is_ok();
    sudo.then(|| vec!["sudo", "-n"])
}

/// The formatter and clippy, which a minimal toolchain does not have.
pub(crate) fn rust_components() -> Result<()> {
    for (subcommand, component) in [("fmt", "rustfmt"), ("clippy", "clippy")] {
        if process::read(workspace::cargo()?.args([subcommand, "--version"])).is_ok() {
            continue;
        }
        find("rustup").with_context(|| {
            format!("`cargo {subcommand}` is missing and `rustup` is not installed; install `{component}`")
        })?;
        report(&format!("adding {component} with rustup\n"));
        process::run(Command::new("rustup").args(["component", "add", component]))?;
    }
    Ok(())
}

/// cargo-deny of the release that the repository is checked with.
pub(crate) fn cargo_deny() -> Result<PathBuf> {
    installed("cargo-deny", "cargo-deny ", CARGO_DENY, &[])
}

/// mdBook of the release that the book is written for. Without its server and its search, which a check does not need.
pub(crate) fn mdbook() -> Result<PathBuf> {
    installed("mdbook", "mdbook v", MDBOOK, &["--no-default-features"])
}

/// A program of a crate of its own name, from `PATH` or installed into the cache. `prefix` is what `--version` prints
/// before the number.
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
        report(&format!("installing {name}, once; this takes some minutes\n"));
        let mut install = workspace::cargo()?;
        install.args(["install", "--quiet", "--locked", "--force", name, "--version", &format!("~{release}")]);
        install.args(features).arg("--root").arg(&tools);
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
