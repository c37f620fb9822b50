//! The copies of the contract: each package that is built from `wit/` has the files inside it, so that it packages.
//!
//! Invariant: `wit/` is the one that people edit; a copy is the same, byte for byte.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The contract.
pub(crate) const CONTRACT: &str = "wit";

/// Its copies.
const COPIES: &[&str] = &["host/engine/wit", "guests/sdk/wit"];

/// Compares the copies with the contract.
pub(crate) fn check() -> Result<()> {
    let breaches = breaches(workspace::root())?;
    if breaches.is_empty() {
        return Ok(());
    }
    bail!("{}", breaches.join("\n"))
}

fn breaches(root: &Path) -> Result<Vec<String>> {
    let contract = files(&root.join(CONTRACT))?;
    let mut breaches = Vec::new();
    for copy in COPIES {
        if !root.join(copy).is_dir() {
            breaches.push(format!("{copy}: is missing; create it with `cp -r {CONTRACT} {copy}`"));
            continue;
        }
        let copied = files(&root.join(copy))?;
        for (name, bytes) in &contract {
            let name = name.display();
            let what = match copied.iter().find(|(copied, _)| copied.display().to_string() == name.to_string()) {
                Some((_, copied)) if copied == bytes => continue,
                Some(_) => "differs from the contract",
                None => "is missing",
            };
            let line = format!("cp {CONTRACT}/{name} {copy}/{name}");
            breaches.push(format!("{copy}/{name}: {what}; edit the file in `{CONTRACT}/` and copy it with `{line}`"));
        }
        let extra = copied.keys().filter(|name| !contract.contains_key(*name)).map(|name| name.display());
        breaches.extend(extra.map(|name| {
            format!(
                "{copy}/{name}: is not in the contract; delete it with `rm {copy}/{name}` or add it to `{CONTRACT}/`"
            )
        }));
    }
    Ok(breaches)
}

/// The files under a folder by their path in it, with their bytes.
pub(crate) fn files(folder: &Path) -> Result<BTreeMap<PathBuf, Vec<u8>>> {
    let mut files = BTreeMap::new();
    let mut open = vec![folder.to_owned()];
    while let Some(next) = open.pop() {
        for entry in fs::read_dir(&next).with_context(|| format!("cannot read {}", next.display()))? {
            let entry = entry?.path();
            if entry.is_dir() {
                open.push(entry);
                continue;
            }
            let bytes = fs::read(&entry).with_context(|| format!("cannot read {}", entry.display()))?;
            files.insert(entry.strip_prefix(folder).unwrap_or(&entry).to_owned(), bytes);
        }
    }
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::made_up::made_up;

    #[test]
    fn equal_copies_are_right() {
        let folder = made_up(&[
            ("wit/world.wit", "world"),
            ("wit/deps/http/http.wit", "http"),
            ("host/engine/wit/world.wit", "world"),
            ("host/engine/wit/deps/http/http.wit", "http"),
            ("guests/sdk/wit/world.wit", "world"),
            ("guests/sdk/wit/deps/http/http.wit", "http"),
        ]);
        assert_eq!(breaches(folder.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_a_breach_with_the_line_that_mends_it() {
        let folder = made_up(&[
            ("wit/world.wit", "world"),
            ("wit/deps/http/http.wit", "http"),
            ("host/engine/wit/world.wit", "other"),
            ("host/engine/wit/old.wit", "old"),
        ]);
        assert_eq!(
            breaches(folder.path()).unwrap(),
            [
                "host/engine/wit/deps/http/http.wit: is missing; edit the file in `wit/` and copy it with \
                 `cp wit/deps/http/http.wit host/engine/wit/deps/http/http.wit`",
                "host/engine/wit/world.wit: differs from the contract; edit the file in `wit/` and copy it with \
                 `cp wit/world.wit host/engine/wit/world.wit`",
                "host/engine/wit/old.wit: is not in the contract; delete it with `rm host/engine/wit/old.wit` or add it to \
                 `wit/`",
                "guests/sdk/wit: is missing; create it with `cp -r wit guests/sdk/wit`",
            ]
        );
    }
}
