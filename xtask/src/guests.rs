//! Builds `guests/*.wasm`.
//!
//! Invariant: after the task, each module in `guests/` is built from its current sources. If sources and modules are
//! unchanged since the last build, the task builds nothing.

use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::Hasher as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result, bail};

use crate::step::Steps;
use crate::toolchain::Toolchain;
use crate::{process, report, workspace};

/// Runs `cargo xtask guests`.
pub(crate) fn run(toolchain: Option<&str>) -> Result<()> {
    Steps::new(1).run("building the guests", || build(toolchain))
}

/// Builds the guests if sources or modules changed, or if a toolchain is named.
pub(crate) fn build(toolchain: Option<&str>) -> Result<()> {
    let plugins = plugins()?;
    let digest_file = workspace::target()?.join("guests.digest");
    if toolchain.is_none()
        && fs::read_to_string(&digest_file).is_ok_and(|stored| Ok(stored) == digest(&plugins).map_err(drop))
    {
        report("the guests are unchanged since the last build\n");
        return Ok(());
    }
    let toolchain = Toolchain::choose(toolchain)?;
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

/// Returns the plugins: the folders of `guests/` whose crate is a `cdylib`.
fn plugins() -> Result<Vec<String>> {
    let mut plugins = Vec::new();
    for folder in entries(&workspace::guests())? {
        let manifest = fs::read_to_string(folder.join("Cargo.toml")).unwrap_or_default();
        if manifest.contains("\"cdylib\"") {
            plugins.extend(folder.file_name().map(|name| name.to_string_lossy().into_owned()));
        }
    }
    if plugins.is_empty() {
        bail!("{} has no folder with a plugin (a crate of the type `cdylib`)", workspace::guests().display());
    }
    Ok(plugins)
}

fn module(plugin: &str) -> PathBuf {
    workspace::guests().join(format!("{plugin}.wasm"))
}

/// Replaces a file atomically, so that a running host never reads a partial module.
fn replace(file: &Path, bytes: &[u8]) -> Result<()> {
    let temporary = file.with_extension("wasm.tmp");
    fs::write(&temporary, bytes).with_context(|| format!("cannot write {}", temporary.display()))?;
    fs::rename(&temporary, file).with_context(|| format!("cannot write {}", file.display()))
}

/// Hashes sources and modules to detect changes. The hash is not cryptographic.
fn digest(plugins: &[String]) -> Result<String> {
    let mut files = Vec::new();
    collect(&workspace::guests(), &mut files)?;
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

/// Collects the sources under a folder, ordered by name.
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
    use std::process::Command;

    use super::*;

    #[test]
    fn plugins_are_the_crates_of_the_type_cdylib() {
        let plugins = plugins().unwrap();
        assert!(plugins.contains(&"deploy".to_owned()), "{plugins:?}");
        assert!(!plugins.contains(&"sdk".to_owned()), "{plugins:?}");
    }

    #[test]
    fn the_digest_is_stable_and_needs_the_modules() {
        assert_eq!(digest(&[]).unwrap(), digest(&[]).unwrap());
        assert!(digest(&["no-such-plugin".to_owned()]).is_err());
    }

    #[test]
    fn no_file_of_the_sdk_names_a_path_outside_of_its_folder() {
        let sdk = workspace::guests().join("sdk");
        let mut files = vec![sdk.join("README.md")];
        collect(&sdk, &mut files).unwrap();
        assert!(files.len() > 20, "{files:?}");
        for file in files {
            let depth = file.strip_prefix(&sdk).unwrap().components().count() - 1;
            let text = fs::read_to_string(&file).unwrap();
            assert!(!text.contains(&"../".repeat(depth + 1)), "{}", file.display());
            assert!(!text.contains("workspace = true"), "{} inherits from the workspace", file.display());
        }
    }

    /// Builds the plugin of the SDK's README in a separate folder.
    #[test]
    fn a_plugin_outside_of_the_repository_builds_with_the_packaged_sdk() {
        let folder = std::env::temp_dir().join(format!("wardroom-sdk-{}", std::process::id()));
        let bytes = build_outside(&folder);
        fs::remove_dir_all(&folder).unwrap();
        let bytes = bytes.unwrap();
        for name in ["wardroom:plugin/clock@0.1.0", "wardroom:plugin/commands@0.1.0#run"] {
            assert!(bytes.windows(name.len()).any(|window| window == name.as_bytes()), "the module has no {name}");
        }
    }

    fn build_outside(folder: &Path) -> Result<Vec<u8>> {
        let (sdk, plugin) = (folder.join("sdk"), folder.join("hello"));
        copy(&workspace::guests().join("sdk"), &sdk)?;
        fs::create_dir_all(plugin.join("src"))?;
        // Use the lock file of the guests, because its versions are in the local registry.
        for folder in [&sdk, &plugin] {
            fs::copy(workspace::guests().join("Cargo.lock"), folder.join("Cargo.lock"))?;
        }
        let mut package = workspace::cargo()?;
        package.current_dir(&sdk).args([
            "package",
            "--quiet",
            "--offline",
            "--no-verify",
            "--target-dir",
            "../package",
        ]);
        process::run(&mut package)?;
        let file = folder.join("package/package/wardroom-guest-0.1.0.crate");
        process::run(Command::new("tar").arg("-xzf").arg(file).arg("-C").arg(folder))?;
        fs::remove_dir_all(&sdk)?;

        let readme = fs::read_to_string(folder.join("wardroom-guest-0.1.0/README.md"))?;
        let manifest = block(&readme, "toml")?.replace("\"0.1\"", "{ path = \"../wardroom-guest-0.1.0\" }");
        fs::write(plugin.join("Cargo.toml"), format!("{manifest}\n[workspace]\n"))?;
        // Leave out the lines that begin with `# `, as rustdoc does.
        let source = block(&readme, "rust,no_run")?.lines().filter(|line| !line.starts_with("# "));
        fs::write(plugin.join("src/lib.rs"), source.collect::<Vec<_>>().join("\n"))?;

        let toolchain = Toolchain::choose(None)?;
        process::run(toolchain.build()?.arg("--offline").current_dir(&plugin))?;
        Ok(fs::read(toolchain.output()?.join("hello.wasm"))?)
    }

    /// Returns the first code block of a language.
    fn block<'a>(page: &'a str, language: &str) -> Result<&'a str> {
        let block = page.split(&format!("```{language}\n")).nth(1).and_then(|rest| rest.split("```").next());
        block.with_context(|| format!("the page has no block of {language}"))
    }

    fn copy(from: &Path, to: &Path) -> Result<()> {
        fs::create_dir_all(to)?;
        for entry in entries(from)? {
            let target = to.join(entry.file_name().context("an entry has a name")?);
            if entry.is_dir() { copy(&entry, &target)? } else { fs::copy(&entry, &target).map(drop)? }
        }
        Ok(())
    }
}
