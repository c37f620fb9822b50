//! The house rules that no other tool checks.
//!
//! - Every Rust file opens with `//!`, and none has more than 500 lines.
//! - No marker for unfinished work, no ignored test.
//! - The engine depends on no chat network, no cloud, no database driver, no web framework.
//! - An adapter depends on no package of the workspace except the engine and, in a chat adapter, the crate that chat
//!   adapters share.
//!
//! Invariant: all breaches are listed, each with its file and line.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// A longer file holds more than one noun.
const MOST_LINES: usize = 500;

/// Text that no file may contain. Written in two halves, so that this file passes the check.
const WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// The engine depends on no package whose name begins with one of these.
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
    let mut breaches = Vec::new();
    for folder in ["guests", "host", "tests", "wit", "xtask"] {
        for file in sources(&workspace::root().join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(workspace::root()).unwrap_or(&file).display().to_string();
            breaches.extend(in_file(&name, &text));
        }
    }
    breaches.extend(in_packages(&adapters()?, workspace::dependencies)?);
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{}", breaches.join("\n"))
}

fn in_file(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if name.ends_with(".rs") {
        if !text.starts_with("//!") {
            breaches.push(format!(
                "{name}:1: does not begin with `//!`; write what the file is, its invariant and what is not in it"
            ));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            breaches.push(format!("{name}:{lines}: has more than {MOST_LINES} lines; split it"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        for word in WORDS.iter().filter(|word| line.contains(**word)) {
            breaches.push(format!("{name}:{}: contains `{word}`", number + 1));
        }
    }
    breaches
}

fn in_packages(
    adapters: &[String],
    dependencies: impl Fn(&str, &str, Option<&str>) -> Result<Vec<String>>,
) -> Result<Vec<String>> {
    let mut breaches = Vec::new();
    for dependency in dependencies("wardroom", "normal,build", None)? {
        if NOT_IN_THE_ENGINE.iter().any(|begin| dependency.starts_with(begin)) {
            breaches.push(format!("the engine depends on `{dependency}`"));
        }
    }
    for adapter in adapters {
        let mut seen = std::collections::BTreeSet::new();
        for kinds in ["normal,build", "dev"] {
            for dependency in dependencies(adapter, kinds, Some("1"))? {
                // Its tests may use a fake server.
                let fake = kinds == "dev" && dependency.starts_with("wardroom-fake-");
                let common = dependency == "wardroom-account";
                if dependency.starts_with("wardroom-") && dependency != *adapter && !fake && !common {
                    seen.insert(dependency);
                }
            }
        }
        breaches.extend(seen.iter().map(|dependency| format!("the adapter `{adapter}` depends on `{dependency}`")));
    }
    Ok(breaches)
}

/// The packages of the folders that hold adapters.
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

/// The source files under a folder.
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
    fn each_breach_in_a_file_is_found() {
        assert_eq!(in_file("a.rs", "//! A file.\n"), Vec::<String>::new());
        assert_eq!(in_file("a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(in_file("a.rs", &"//! A line.\n".repeat(501)), ["a.rs:501: has more than 500 lines; split it"]);
        let ignored = format!("//! A file.\n{}]\n", concat!("#[", "ignore"));
        assert_eq!(in_file("a.rs", &ignored), [format!("a.rs:2: contains `{}`", concat!("#[", "ignore"))]);
        assert_eq!(in_file("a.toml", &format!("# {}\n", concat!("TO", "DO"))).len(), 1);
    }

    #[test]
    fn each_breach_between_packages_is_found() {
        let adapters = ["wardroom-matrix".to_owned()];
        let tree = |engine: &'static str, adapter: &'static str| {
            move |package: &str, _: &str, _: Option<&str>| {
                let names = if package == "wardroom" { engine } else { adapter };
                Ok(names.split_whitespace().map(str::to_owned).collect())
            }
        };
        let none = in_packages(&adapters, tree("anyhow wasmtime", "wardroom wardroom-matrix matrix-sdk")).unwrap();
        assert_eq!(none, Vec::<String>::new());
        assert_eq!(in_packages(&adapters, tree("sqlx-core", "")).unwrap(), ["the engine depends on `sqlx-core`"]);
        assert_eq!(
            in_packages(&adapters, tree("", "wardroom-exec")).unwrap(),
            ["the adapter `wardroom-matrix` depends on `wardroom-exec`"]
        );
        // A fake server is for tests alone.
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
