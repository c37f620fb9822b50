//! Whether the two packages that others build on can be published: the engine and the SDK for plugins.
//!
//! Invariant: each package has the contract and a README inside it, and is built from its own files alone.

use std::path::{Component, Path};
use std::process::Command;

use anyhow::{Result, bail};

use crate::contract::{self, CONTRACT};
use crate::{process, workspace};

/// Packages the engine. What was packaged is not compiled: with its dependencies that takes minutes more than all other
/// checks. In its place the files that the code includes are checked.
pub(crate) fn engine() -> Result<()> {
    package(workspace::cargo, "wardroom", &["--no-verify"])?;
    included("host/engine")
}

/// Packages the SDK for plugins and compiles what was packaged.
pub(crate) fn sdk() -> Result<()> {
    package(workspace::guests_cargo, "wardroom-guest", &[])
}

fn package(cargo: fn() -> Result<Command>, name: &str, arguments: &[&str]) -> Result<()> {
    let command = || -> Result<Command> {
        let mut cargo = cargo()?;
        // A change is checked before it is committed.
        cargo.args(["package", "--quiet", "--allow-dirty", "--package", name]);
        Ok(cargo)
    };
    let listed = process::read(command()?.arg("--list"))?;
    let contract = contract::files(&workspace::root().join(CONTRACT))?;
    let contract = contract.keys().map(|file| format!("{CONTRACT}/{}", file.display()));
    let missing = missing(&listed, contract.chain(["README.md".to_owned()]));
    if !missing.is_empty() {
        bail!(
            "the package `{name}` does not contain {}; `README.md` comes from `readme` in its `Cargo.toml`, the contract \
             from `cp -r {CONTRACT}` into its folder",
            missing.join(", ")
        );
    }
    process::run(command()?.args(arguments))
}

/// The files that `cargo package --list` does not name.
fn missing(listed: &str, expected: impl Iterator<Item = String>) -> Vec<String> {
    expected.filter(|file| !listed.lines().any(|line| line == file)).collect()
}

/// Fails where the code of a package includes a file from outside of it.
fn included(package: &str) -> Result<()> {
    let root = workspace::root().join(package);
    let mut breaches = Vec::new();
    for (file, bytes) in contract::files(&root.join("src"))? {
        let file = Path::new("src").join(file);
        breaches.extend(outside(&file, &String::from_utf8_lossy(&bytes)));
    }
    if breaches.is_empty() {
        return Ok(());
    }
    let breaches = breaches.into_iter().map(|breach| format!("{package}/{breach}")).collect::<Vec<_>>();
    bail!("{}", breaches.join("\n"))
}

/// The places in a file of a package that name a file outside of the package.
fn outside(file: &Path, text: &str) -> Vec<String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    // The folder to which each path is relative; `path` is the argument of `bindgen!`.
    let includes = [("include_str!(\"", folder), ("include_bytes!(\"", folder), ("path: \"", Path::new(""))];
    let mut breaches = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (before, relative_to) in includes {
            let named = line.split_once(before).and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path);
            if let Some(path) = named.filter(|path| leaves(relative_to, path)) {
                let place = format!("{}:{}", file.display(), number + 1);
                breaches.push(format!("{place}: includes `{path}` from outside of the package"));
            }
        }
    }
    breaches
}

/// Whether a path leads out of the package.
fn leaves(folder: &Path, path: &str) -> bool {
    let mut depth = 0_usize;
    for part in folder.join(path).components() {
        match part {
            Component::Normal(_) => depth += 1,
            Component::ParentDir if depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
        }
    }
    false
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_listed_is_missing() {
        let listed = "Cargo.toml\nREADME.md\nwit/world.wit";
        let expected = ["wit/world.wit", "wit/chat.wit", "README.md"].map(str::to_owned);
        assert_eq!(missing(listed, expected.into_iter()), ["wit/chat.wit"]);
    }

    #[test]
    fn an_include_from_outside_of_the_package_is_a_breach() {
        let text = "bindgen!({\n    path: \"../../wit\",\n});\nbindgen!({ path: \"wit\" });\n\
                    const A: &str = include_str!(\"../../table.txt\");\nconst B: &str = include_str!(\"../../../README.md\");\n";
        assert_eq!(
            outside(Path::new("src/plugin/bindings.rs"), text),
            [
                "src/plugin/bindings.rs:2: includes `../../wit` from outside of the package",
                "src/plugin/bindings.rs:6: includes `../../../README.md` from outside of the package",
            ]
        );
    }
}
