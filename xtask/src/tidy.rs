//! The house rules that no other tool knows.
//!
//! - Every Rust file opens with `//!`, and none has more than 500 lines.
//! - No word that puts work off, no ignored test.
//! - The engine depends on no chat network, no cloud, no database driver, no web framework.
//! - An adapter depends on no other package of the workspace than the engine and, for an account on a chat network, on what such
//!   accounts have in common.
//!
//! Invariant: all breaches are listed, each with its place.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// More than this is more than one noun.
const MOST_LINES: usize = 500;

/// What is not written here. In two halves, so that this file may be checked too.
const WORDS: &[&str] = &[
    concat!("TO", "DO"),
    concat!("FIX", "ME"),
    concat!("todo", "!("),
    concat!("unimplemented", "!("),
    concat!("#[", "ignore"),
];

/// What the engine never depends on, by the beginnings of names.
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

/// Checks them all.
pub(crate) fn check() -> Result<()> {
    let mut breaches = Vec::new();
    for folder in ["guests", "host", "tests", "wit", "xtask"] {
        for file in sources(&workspace::root().join(folder))? {
            let text = fs::read_to_string(&file).with_context(|| format!("cannot read {}", file.display()))?;
            let name = file.strip_prefix(workspace::root()).unwrap_or(&file).display().to_string();
            breaches.extend(in_file(&name, &text));
        }
    }
    breaches.extend(in_layers(&adapters()?, workspace::dependencies)?);
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{}", breaches.join("\n"))
}

fn in_file(name: &str, text: &str) -> Vec<String> {
    let mut breaches = Vec::new();
    if name.ends_with(".rs") {
        if !text.starts_with("//!") {
            breaches.push(format!("{name}:1: does not open with `//!`: what it is, its invariant, what is not here"));
        }
        let lines = text.lines().count();
        if lines > MOST_LINES {
            breaches.push(format!("{name}:{lines}: has more than {MOST_LINES} lines"));
        }
    }
    for (number, line) in text.lines().enumerate() {
        for word in WORDS.iter().filter(|word| line.contains(**word)) {
            breaches.push(format!("{name}:{}: has `{word}`", number + 1));
        }
    }
    breaches
}

fn in_layers(
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
                // Its tests may have a server that is made for tests.
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
        names.push(name.with_context(|| format!("{} has no name", manifest.display()))?);
    }
    names.sort();
    Ok(names)
}

/// The files under a folder that people wrote.
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
    fn each_rule_for_files_bites() {
        assert_eq!(in_file("a.rs", "//! A file.\n"), Vec::<String>::new());
        assert_eq!(in_file("a.rs", "fn main() {}\n").len(), 1);
        assert_eq!(in_file("a.rs", &"//! A line.\n".repeat(501)), ["a.rs:501: has more than 500 lines"]);
        let ignored = format!("//! A file.\n{}]\n", concat!("#[", "ignore"));
        assert_eq!(in_file("a.rs", &ignored), [format!("a.rs:2: has `{}`", concat!("#[", "ignore"))]);
        assert_eq!(in_file("a.toml", &format!("# {}\n", concat!("TO", "DO"))).len(), 1);
    }

    #[test]
    fn each_rule_for_layers_bites() {
        let adapters = ["wardroom-matrix".to_owned()];
        let tree = |engine: &'static str, adapter: &'static str| {
            move |package: &str, _: &str, _: Option<&str>| {
                let names = if package == "wardroom" { engine } else { adapter };
                Ok(names.split_whitespace().map(str::to_owned).collect())
            }
        };
        let none = in_layers(&adapters, tree("anyhow wasmtime", "wardroom wardroom-matrix matrix-sdk")).unwrap();
        assert_eq!(none, Vec::<String>::new());
        assert_eq!(in_layers(&adapters, tree("sqlx-core", "")).unwrap(), ["the engine depends on `sqlx-core`"]);
        assert_eq!(
            in_layers(&adapters, tree("", "wardroom-exec")).unwrap(),
            ["the adapter `wardroom-matrix` depends on `wardroom-exec`"]
        );
        // What is made for tests is for tests alone.
        let with_fake = |of: &'static str| {
            move |package: &str, kinds: &str, _: Option<&str>| {
                let has = package != "wardroom" && kinds == of;
                Ok(has.then(|| "wardroom-fake-matrix".to_owned()).into_iter().collect())
            }
        };
        assert_eq!(in_layers(&adapters, with_fake("dev")).unwrap(), Vec::<String>::new());
        assert_eq!(in_layers(&adapters, with_fake("normal,build")).unwrap().len(), 1);
    }

    #[test]
    fn adapters_are_found() {
        let adapters = adapters().unwrap();
        for name in ["wardroom-console", "wardroom-exec", "wardroom-sqlite"] {
            assert!(adapters.contains(&name.to_owned()), "{name}: {adapters:?}");
        }
    }
}
