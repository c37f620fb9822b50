//! Checks the copies of the contract. Each package that is built from `wit/` contains a copy, so that it can be
//! published.
//!
//! Invariant: people edit only `wit/`. The copies are byte for byte equal to `wit/`.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::workspace;

/// The folder of the contract.
pub(crate) const CONTRACT: &str = "wit";

const COPIES: &[&str] = &["host/engine/wit", "guests/sdk/wit"];

pub(crate) fn check() -> Result<()> {
    let violations = violations(workspace::root())?;
    if violations.is_empty() {
        return Ok(());
    }
    bail!("{}", violations.join("\n"))
}

fn violations(root: &Path) -> Result<Vec<String>> {
    let contract = files(&root.join(CONTRACT))?;
    let mut violations = Vec::new();
    for copy in COPIES {
        if !root.join(copy).is_dir() {
            violations.push(format!("{copy}: the folder is missing; create it with `cp -r {CONTRACT} {copy}`"));
            continue;
        }
        let copied = files(&root.join(copy))?;
        for (name, bytes) in &contract {
            let name = name.display();
            let what = match copied.iter().find(|(copied, _)| copied.display().to_string() == name.to_string()) {
                Some((_, copied)) if copied == bytes => continue,
                Some(_) => "the file differs from the contract",
                None => "the file is missing",
            };
            let line = format!("cp {CONTRACT}/{name} {copy}/{name}");
            violations.push(format!("{copy}/{name}: {what}; edit the file in `{CONTRACT}/` and copy it with `{line}`"));
        }
        let extra = copied.keys().filter(|name| !contract.contains_key(*name)).map(|name| name.display());
        violations.extend(extra.map(|name| {
            format!(
                "{copy}/{name}: the file is not in the contract; delete it with `rm {copy}/{name}` or add it to \
                 `{CONTRACT}/`"
            )
        }));
    }
    Ok(violations)
}

/// Reads the files under a folder. The keys are paths relative to the folder.
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
    use crate::fixture::fixture;

    #[test]
    fn equal_copies_are_right() {
        let folder = fixture(&[
            ("wit/world.wit", "world"),
            ("wit/deps/http/http.wit", "http"),
            ("host/engine/wit/world.wit", "world"),
            ("host/engine/wit/deps/http/http.wit", "http"),
            ("guests/sdk/wit/world.wit", "world"),
            ("guests/sdk/wit/deps/http/http.wit", "http"),
        ]);
        assert_eq!(violations(folder.path()).unwrap(), Vec::<String>::new());
    }

    #[test]
    fn every_difference_is_a_violation_with_the_command_that_fixes_it() {
        let folder = fixture(&[
            ("wit/world.wit", "world"),
            ("wit/deps/http/http.wit", "http"),
            ("host/engine/wit/world.wit", "other"),
            ("host/engine/wit/old.wit", "old"),
        ]);
        assert_eq!(
            violations(folder.path()).unwrap(),
            [
                "host/engine/wit/deps/http/http.wit: the file is missing; edit the file in `wit/` and copy it with \
                 `cp wit/deps/http/http.wit host/engine/wit/deps/http/http.wit`",
                "host/engine/wit/world.wit: the file differs from the contract; edit the file in `wit/` and copy it \
                 with `cp wit/world.wit host/engine/wit/world.wit`",
                "host/engine/wit/old.wit: the file is not in the contract; delete it with `rm host/engine/wit/old.wit` \
                 or add it to `wit/`",
                "guests/sdk/wit: the folder is missing; create it with `cp -r wit guests/sdk/wit`",
            ]
        );
    }
}
