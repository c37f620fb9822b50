//! The checkout, the cache, the target folder, and the dependencies of packages.
//!
//! Invariant: every cargo command that a task starts builds into [`target`], never into the checkout.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use anyhow::{Context as _, Result};

use crate::process;

/// Cargo arguments for the whole workspace with every adapter. All packages share one set of features, so that the
/// heavy dependencies are compiled once.
pub(crate) const WHOLE: &[&str] = &[
    "--workspace",
    "--features",
    "wardroom-cli/matrix,wardroom-cli/mattermost,wardroom-cli/http,wardroom-cli/jenkins,wardroom-cli/spinnaker,wardroom-cli/tekton,wardroom-cli/vault,wardroom-cli/oidc",
];

/// Returns the folder of the checkout.
pub(crate) fn root() -> &'static Path {
    static XTASK: OnceLock<PathBuf> = OnceLock::new();
    // Read the variable at run time: checkouts that share a target folder share the binary, which was built in one of
    // them.
    let xtask = XTASK.get_or_init(|| match std::env::var_os("CARGO_MANIFEST_DIR") {
        Some(folder) => folder.into(),
        None => env!("CARGO_MANIFEST_DIR").into(),
    });
    xtask.parent().unwrap_or(xtask)
}

/// Returns the folder of the guests' workspace.
pub(crate) fn guests() -> PathBuf {
    root().join("guests")
}

/// Returns the folder for files that are kept between runs and can be deleted: `~/.cache/wardroom`.
pub(crate) fn cache() -> Result<PathBuf> {
    let set = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    let base = set("XDG_CACHE_HOME").or_else(|| set("HOME").map(|home| home.join(".cache")));
    Ok(base.context("neither `HOME` nor `XDG_CACHE_HOME` is set")?.join("wardroom"))
}

/// Returns the target folder: `$CARGO_TARGET_DIR`, or a folder in the cache if the variable is not set.
pub(crate) fn target() -> Result<PathBuf> {
    match std::env::var_os("CARGO_TARGET_DIR").filter(|value| !value.is_empty()) {
        // A relative path is relative to the current folder, as in cargo.
        Some(set) => Ok(std::env::current_dir()?.join(set)),
        None => Ok(cache()?.join("target")),
    }
}

/// Returns a cargo command for the workspace.
pub(crate) fn cargo() -> Result<Command> {
    let program = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(program);
    command.current_dir(root()).env("CARGO_TARGET_DIR", target()?);
    // Test programs have the variable in their environment, see `slowest`. With the variable, cargo would rebuild
    // everything.
    command.env_remove("RUSTC_BOOTSTRAP");
    Ok(command)
}

/// Returns a cargo command that builds the guests for this machine, for their tests and checks.
pub(crate) fn guests_cargo() -> Result<Command> {
    let mut command = cargo()?;
    command.current_dir(guests()).env("CARGO_TARGET_DIR", target()?.join("guests"));
    Ok(command)
}

/// Returns the names of a package's dependencies, without the package itself.
pub(crate) fn dependencies(package: &str, edges: &str, depth: Option<&str>) -> Result<Vec<String>> {
    let mut arguments = vec!["--package", package, "--edges", edges];
    if let Some(depth) = depth {
        arguments.extend(["--depth", depth]);
    }
    let listing = tree(&arguments)?;
    let mut names = listing.lines().filter_map(name).skip(1).map(str::to_owned).collect::<Vec<_>>();
    names.sort();
    names.dedup();
    Ok(names)
}

fn tree(arguments: &[&str]) -> Result<String> {
    process::read(cargo()?.args(["tree", "--quiet", "--prefix", "none", "--format", "{p}"]).args(arguments))
}

/// Returns the `wardroom` of `wardroom v0.1.0 (/somewhere)`.
fn name(line: &str) -> Option<&str> {
    line.split_whitespace().next()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_dependency_is_found() {
        let names = dependencies("xtask", "normal", Some("1")).unwrap();
        assert!(names.contains(&"anyhow".to_owned()), "{names:?}");
        assert!(!names.contains(&"xtask".to_owned()));
    }
}
