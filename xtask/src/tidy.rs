//! The house rules that no other tool checks.
//!
//! - Every Rust file begins with `//!` and has at most 500 lines.
//! - No file contains a marker for unfinished work or an ignored test.
//! - The engine does not depend on a client library of a chat network, a cloud or a database, or on a web framework.
//! - An adapter depends only on the engine and on the crate that adapters share.
//!
//! Invariant: the check lists all violations, those in files with file and line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

const MAX_LINES: usize = 500;

/// Text that no file may contain. Each is written in two halves, so that this file passes the check.
const FORBIDDEN: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// Prefixes of the names of packages that the engine must not depend on.
const NOT_IN_THE_ENGINE: &[&str] = &[
    "aws-",
    "axum",
    "hyper",
    "kube",
    "libsqlite3-sys",
    "matrix-sdk",
    "postgres",
    "reqwest",
    "rusqlite",
    "ruma",
    "sqlx",
    "tokio-postgres",
    "wardroom-",
];

/// Checks all rules.
pub(crate) fn check() -> Result<()> {
    let mut violations = Vec::new();
    for folder in ["guests", "host", "tests", "wit", "xtask"] {
        for file in sources(&workspace::root().join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(workspace::root()).unwrap_or(&file).display().to_string();
            violations.extend(in_file(&name, &text));
        }
    }
    violations.extend(in_packages(&adapters()?, workspace::dependencies)?);
    if violations.is_empty() {
        return Ok(());
    }
    bail!("{}", violations.join("\n"))
}

fn in_file(name: &str, text: &str) -> Vec<String> {
    let mut violations = Vec::new();
    if name.ends_with(".rs") {
        if !text.starts_with("//!") {
            violations.push(format!(
                "{name}:1: the file does not begin with `//!`; describe the file, its invariant and what is not in it"
            ));
        }
        let lines = text.lines().count();
        if lines > MAX_LINES {
            violations.push(format!("{name}:{lines}: the file has more than {MAX_LINES} lines; split it"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        for word in FORBIDDEN.iter().filter(|word| line.contains(**word)) {
            violations.push(format!("{name}:{}: the line contains `{word}`; remove it", number + 1));
        }
    }
    violations
}

fn in_packages(
    adapters: &[String],
    dependencies: impl Fn(&str, &str, Option<&str>) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    for dependency in dependencies("wardroom", "normal,build", None)? {
        if NOT_IN_THE_ENGINE.iter().any(|begin| dependency.starts_with(begin)) {
            violations.push(format!("the engine must not depend on `{dependency}`"));
        }
    }
    for adapter in adapters {
        let mut seen = std::collections::BTreeSet::new();
        for kinds in ["normal,build", "dev"] {
            for dependency in dependencies(adapter, kinds, Some("1"))? {
                // The tests of an adapter may use a fake server, or the real one of a package.
                let is_server = dependency.starts_with("wardroom-fake-") || dependency == "wardroom-openbao";
                let fake = kinds == "dev" && is_server;
                let common = matches!(dependency.as_str(), "wardroom-account" | "wardroom-remote");
                if dependency.starts_with("wardroom-") && dependency != *adapter && !fake && !common {
                    seen.insert(dependency);
                }
            }
        }
        violations
            .extend(seen.iter().map(|dependency| format!("the adapter `{adapter}` must not depend on `{dependency}`")));
    }
    Ok(violations)
}

/// Returns the names of the packages in the folders of adapters.
fn adapters() -> Result<Vec<String>> {
    let host = workspace::root().join("host");
    let mut manifests = Vec::new();
    for group in ["chat", "pipelines", "cloud", "secrets", "store"] {
        let Ok(folders) = fs::read_dir(host.join(group)) else { continue };
        for folder in folders {
            manifests.push(folder?.path().join("Cargo.toml"));
        }
    }
    let mut names = Vec::new();
    for manifest in manifests {
        let text = fs::read_to_string(&manifest).with_context(|| format!("cannot read {}", manifest.display()))?;
        let name = text.lines().find_map(|line| line.strip_prefix("name = \"")?.strip_suffix('"').map(str::to_owned));
        names.push(name.with_context(|| format!("{} has no `name`", manifest.display()))?);
    }
    names.sort();
    Ok(names)
}

/// Returns the source files under a folder, except in `target` folders.
fn sources(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    let listing = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    for entry in listing {
        let entry = entry?.path();
        let is = |extension: &&str| entry.extension().is_some_and(|found| found == *extension);
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            files.extend(sources(&entry)?);
        } else if ["rs", "sh", "toml", "wat", "wit"].iter().any(is) {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_violation_in_a_file_is_found() {
        assert_eq!(in_file("a.rs", "//! A file.\n"), Vec::<String>::new());
        assert_eq!(in_file("a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(
            in_file("a.rs", &"//! A line.\n".repeat(501)),
            ["a.rs:501: the file has more than 500 lines; split it"]
        );
        let ignored = format!("//! A file.\n{}]\n", concat!("#[", "ignore"));
        let expected = format!("a.rs:2: the line contains `{}`; remove it", concat!("#[", "ignore"));
        assert_eq!(in_file("a.rs", &ignored), [expected]);
        assert_eq!(in_file("a.toml", &format!("# {}\n", concat!("TO", "DO"))).len(), 1);
    }

    #[test]
    fn each_violation_between_packages_is_found() {
        let adapters = ["wardroom-matrix".to_owned()];
        let tree = |engine: &'static str, adapter: &'static str| {
            move |package: &str, _: &str, _: Option<&str>| {
                let names = if package == "wardroom" { engine } else { adapter };
                Ok(names.split_whitespace().map(str::to_owned).collect())
            }
        };
        let none = in_packages(&adapters, tree("anyhow wasmtime", "wardroom wardroom-matrix matrix-sdk")).unwrap();
        assert_eq!(none, Vec::<String>::new());
        assert_eq!(
            in_packages(&adapters, tree("sqlx-core", "")).unwrap(),
            ["the engine must not depend on `sqlx-core`"]
        );
        assert_eq!(
            in_packages(&adapters, tree("", "wardroom-exec")).unwrap(),
            ["the adapter `wardroom-matrix` must not depend on `wardroom-exec`"]
        );
        // Only tests may depend on a fake server.
        let with_fake = |of: &'static str| {
            move |package: &str, kinds: &str, _: Option<&str>| {
                let has = package != "wardroom" && kinds == of;
                Ok(has.then(|| "wardroom-fake-matrix".to_owned()).into_iter().collect())
            }
        };
        assert_eq!(in_packages(&adapters, with_fake("dev")).unwrap(), Vec::<String>::new());
        assert_eq!(in_packages(&adapters, with_fake("normal,build")).unwrap().len(), 1);
    }

    #[test]
    fn adapters_are_found() {
        let adapters = adapters().unwrap();
        for name in ["wardroom-console", "wardroom-exec", "wardroom-sqlite"] {
            assert!(adapters.contains(&name.to_owned()), "{name}: {adapters:?}");
        }
    }
}
