//! Checks that the engine and the SDK for plugins can be published as packages.
//!
//! Invariant: each package contains the contract and a README, and includes no file from outside of its folder.

use std::path::{Component, Path};
use std::process::Command;

use anyhow::{Result, bail};

use crate::contract::{self, CONTRACT};
use crate::{process, workspace};

/// Packages the engine. The packaged engine is not compiled, because compiling it with its dependencies takes minutes.
/// Instead, the function checks the files that the code includes.
pub(crate) fn engine() -> Result<()> {
    package(workspace::cargo, "wardroom", &["--no-verify"])?;
    included("host/engine")
}

/// Packages the SDK for plugins and compiles the packaged SDK.
pub(crate) fn sdk() -> Result<()> {
    package(workspace::guests_cargo, "wardroom-guest", &[])
}

fn package(cargo: fn() -> Result<Command>, name: &str, arguments: &[&str]) -> Result<()> {
    let command = || -> Result<Command> {
        let mut cargo = cargo()?;
        // Uncommitted changes are checked too.
        cargo.args(["package", "--quiet", "--allow-dirty", "--package", name]);
        Ok(cargo)
    };
    let listed = process::read(command()?.arg("--list"))?;
    let contract = contract::files(&workspace::root().join(CONTRACT))?;
    let contract = contract.keys().map(|file| format!("{CONTRACT}/{}", file.display()));
    let missing = missing(&listed, contract.chain(["README.md".to_owned()]));
    if !missing.is_empty() {
        bail!(
            "the package `{name}` does not contain {}; set `readme` in its `Cargo.toml`, and copy the contract into \
             its folder with `cp -r {CONTRACT}`",
            missing.join(", ")
        );
    }
    process::run(command()?.args(arguments))
}

/// Returns the expected files that are not in the output of `cargo package --list`.
fn missing(listed: &str, expected: impl Iterator<Item = String>) -> Vec<String> {
    expected.filter(|file| !listed.lines().any(|line| line == file)).collect()
}

/// Fails if the code of a package includes a file from outside of the package.
fn included(package: &str) -> Result<()> {
    let root = workspace::root().join(package);
    let mut violations = Vec::new();
    for (file, bytes) in contract::files(&root.join("src"))? {
        let file = Path::new("src").join(file);
        violations.extend(outside(&file, &String::from_utf8_lossy(&bytes)));
    }
    if violations.is_empty() {
        return Ok(());
    }
    let violations = violations.into_iter().map(|violation| format!("{package}/{violation}")).collect::<Vec<_>>();
    bail!("{}", violations.join("\n"))
}

/// Returns the places in a file of a package that include a file from outside of the package.
fn outside(file: &Path, text: &str) -> Vec<String> {
    let folder = file.parent().unwrap_or(Path::new(""));
    // Each pattern with the folder to which its path is relative; `path` is the argument of `bindgen!`.
    let includes = [("include_str!(\"", folder), ("include_bytes!(\"", folder), ("path: \"", Path::new(""))];
    let mut violations = Vec::new();
    for (number, line) in text.lines().enumerate() {
        for (before, relative_to) in includes {
            let named = line.split_once(before).and_then(|(_, rest)| rest.split_once('"')).map(|(path, _)| path);
            if let Some(path) = named.filter(|path| leaves(relative_to, path)) {
                let place = format!("{}:{}", file.display(), number + 1);
                violations.push(format!("{place}: the code includes `{path}` from outside of the package"));
            }
        }
    }
    violations
}

/// Returns true if a path leads out of the package.
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
    fn an_include_from_outside_of_the_package_is_a_violation() {
        let text = "bindgen!({\n    path: \"../../wit\",\n});\nbindgen!({ path: \"wit\" });\n\
                    const A: &str = include_str!(\"../../table.txt\");\nconst B: &str = include_str!(\"../../../README.md\");\n";
        assert_eq!(
            outside(Path::new("src/plugin/bindings.rs"), text),
            [
                "src/plugin/bindings.rs:2: the code includes `../../wit` from outside of the package",
                "src/plugin/bindings.rs:6: the code includes `../../../README.md` from outside of the package",
            ]
        );
    }
}
