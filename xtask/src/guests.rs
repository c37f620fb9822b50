//! Builds `guests/*.wasm`.
//!
//! Invariant: a module in `guests/` is the one that its sources make; where sources, contract and
//! modules are as they were after the last build, nothing is done.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::step::Steps;
use crate::toolchain::Toolchain;
use crate::{process, report, workspace};

/// `cargo xtask guests`.
pub(crate) fn run(way: Option<&str>) -> Result<()> {
    Steps::new(1).run("building the guests", || build(way))
}

/// Builds them where anything changed. A way that is asked for by name is always gone.
pub(crate) fn build(way: Option<&str>) -> Result<()> {
    let plugins = plugins()?;
    let digest_file = workspace::target()?.join("guests.digest");
    if way.is_none()
        && fs::read_to_string(&digest_file).is_ok_and(|stored| Ok(stored) == digest(&plugins).map_err(drop))
    {
        report("unchanged since the last build\n");
        return Ok(());
    }
    let toolchain = Toolchain::choose(way)?;
    process::run(&mut toolchain.build()?)?;
    let output = toolchain.output()?;
    for plugin in &plugins {
        let built = output.join(format!("{}.wasm", plugin.replace('-', "_")));
        let bytes = fs::read(&built).with_context(|| format!("cannot read {}", built.display()))?;
        replace(&module(plugin), &bytes)?;
        report(&format!("guests/{plugin}.wasm: {} bytes\n", bytes.len()));
    }
    fs::write(&digest_file, digest(&plugins)?).with_context(|| format!("cannot write {}", digest_file.display()))
}

/// The plugins: the folders of `guests/` whose crate is a `cdylib`.
fn plugins() -> Result<Vec<String>> {
    let mut plugins = Vec::new();
    for folder in entries(&workspace::guests())? {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("\"cdylib\"") {
            plugins.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    if plugins.is_empty() {
        bail!("no folder of {} is a plugin", workspace::guests().display());
    }
    Ok(plugins)
}

fn module(plugin: &str) -> PathBuf {
    workspace::guests().join(format!("{plugin}.wasm"))
}

/// Puts a whole file in the place of another, so that a host that reads it never sees half of one.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let passing = file.with_extension("wasm.tmp");
    fs::write(&passing, bytes).with_context(|| format!("cannot write {}", passing.display()))?;
    fs::rename(&passing, file).with_context(|| format!("cannot write {}", file.display()))
}

/// One number for sources, contract and modules. It guards against forgetting, not against anybody.
fn digest(plugins: &[String]) -> Result<String> {
    let mut files = Vec::new();
    collect(&workspace::guests(), &mut files)?;
    collect(&workspace::root().join("wit"), &mut files)?;
    files.push(workspace::root().join("xtask/src/toolchain.rs"));
    files.extend(plugins.iter().map(|plugin| module(plugin)));
    let mut hasher = DefaultHasher::new();
    for file in files {
        let bytes = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
        hasher.write(file.as_os_str().as_encoded_bytes());
        hasher.write_usize(bytes.len());
        hasher.write(&bytes);
    }
    Ok(format!("{:016x}", hasher.finish()))
}

/// The sources under a folder, in the order of their names.
fn collect(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in entries(folder)? {
        let is = |extension: &str| entry.extension().is_some_and(|found| found == extension);
        if entry.is_dir() && entry.file_name().is_some_and(|name| name != "target") {
            collect(&entry, files)?;
        } else if ["rs", "toml", "lock", "wit"].iter().any(|extension| is(extension)) {
            files.push(entry);
        }
    }
    Ok(())
}

fn entries(folder: &Path) -> Result<Vec<PathBuf>> {
    let listing = fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))?;
    let mut entries = listing.map(|entry| Ok(entry?.path())).collect::<Result<Vec<_>>>()?;
    entries.sort();
    Ok(entries)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plugins_are_the_crates_that_become_modules() {
        let plugins = plugins().unwrap();
        assert!(plugins.contains(&"deploy".to_owned()), "{plugins:?}");
        assert!(!plugins.contains(&"sdk".to_owned()), "{plugins:?}");
    }

    #[test]
    fn the_digest_is_the_same_twice_and_needs_the_modules() {
        assert_eq!(digest(&[]).unwrap(), digest(&[]).unwrap());
        assert!(digest(&["no-such-plugin".to_owned()]).is_err());
    }
}
