//! `cargo xtask lint`: checks format, clippy, documentation, licences, layers, packages and house rules.
//!
//! Invariant: every check runs even after another has failed, and a warning is an error.

use std::path::Path;
use std::process::Command;

use anyhow::{Result, bail};

use crate::step::Steps;
use crate::{book, contract, layers, package, process, public_items, report, tidy, tools, workspace};

type Check = (String, Box<dyn FnOnce() -> Result<()>>);

/// Runs all checks, or those whose name contains `filter`.
pub(crate) fn run(filter: Option<&str>) -> Result<()> {
    let mut checks = checks()?;
    if let Some(filter) = filter {
        let known = checks.iter().map(|(what, _)| format!("`{what}`")).collect::<Vec<_>>().join(", ");
        checks.retain(|(what, _)| what.contains(filter));
        if checks.is_empty() {
            bail!("no check has `{filter}` in its name; the checks are {known}");
        }
    }
    let mut steps = Steps::new(checks.len());
    let mut failed = Vec::new();
    for (what, check) in checks {
        if let Err(error) = steps.run(&what, check) {
            report(&format!("{error:#}\n"));
            failed.push(what);
        }
    }
    if failed.is_empty() {
        return Ok(());
    }
    bail!("failed checks: {}", failed.join(", "))
}

fn checks() -> Result<Vec<Check>> {
    let mut checks: Vec<Check> = Vec::new();
    let mut add = |what: String, check: Box<dyn FnOnce() -> Result<()>>| checks.push((what, check));

    add("tools".into(), Box::new(|| tools::rust_components().and_then(|()| tools::cargo_deny().map(drop))));
    add("house rules".into(), Box::new(tidy::check));
    add("layers of the engine".into(), Box::new(layers::check));
    add("public items of the engine".into(), Box::new(public_items::check));
    add("copies of the contract".into(), Box::new(contract::check));
    add("format".into(), Box::new(|| process::run(workspace::cargo()?.args(["fmt", "--all", "--check"]))));
    add("format of the guests".into(), Box::new(|| process::run(workspace::guests_cargo()?.args(["fmt", "--check"]))));
    add("licences and sources".into(), Box::new(|| deny(workspace::root())));
    add("licences and sources of the guests".into(), Box::new(|| deny(&workspace::guests())));
    for (what, packages) in [("clippy", workspace::WHOLE), ("clippy of the quick host", &["--package", "wardroom-cli"])]
    {
        add(what.into(), Box::new(move || process::run(clippy(workspace::cargo()?.arg("clippy").args(packages)))));
    }
    // Check the guests for this machine, because the toolchain that builds for wasm32 may not have clippy.
    add("clippy guests".into(), Box::new(|| process::run(clippy(workspace::guests_cargo()?.arg("clippy")))));
    add(
        "documentation".into(),
        Box::new(|| process::run(documentation(workspace::cargo()?.arg("doc").args(workspace::WHOLE)))),
    );
    add(
        "documentation of the guests".into(),
        Box::new(|| process::run(documentation(workspace::guests_cargo()?.arg("doc")))),
    );
    add("building the book".into(), Box::new(book::build));
    add("links and code blocks of the documentation".into(), Box::new(book::check));
    add("packaging the engine".into(), Box::new(package::engine));
    add("packaging the SDK for plugins".into(), Box::new(package::sdk));
    Ok(checks)
}

fn clippy(cargo: &mut Command) -> &mut Command {
    cargo.args(["--quiet", "--all-targets", "--", "--deny", "warnings"])
}

fn documentation(cargo: &mut Command) -> &mut Command {
    cargo.args(["--quiet", "--no-deps"]).env("RUSTDOCFLAGS", "--deny warnings")
}

fn deny(workspace: &Path) -> Result<()> {
    let mut command = Command::new(tools::cargo_deny()?);
    // Warnings about duplicate packages are hidden; `cargo deny check bans` lists them.
    command.current_dir(workspace).args(["--log-level", "error", "--all-features", "--config"]);
    command.arg(workspace::root().join("deny.toml")).args(["check", "bans", "licenses", "sources"]);
    process::run(&mut command)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_filter_without_a_check_is_an_error_that_lists_the_checks() {
        let error = run(Some("no such check")).unwrap_err().to_string();
        assert!(error.starts_with("no check has `no such check` in its name; the checks are `tools`, "), "{error}");
    }
}
