//! A Rust toolchain that can build for wasm32-unknown-unknown, from one of three sources.
//!
//! 1. `installed`: the toolchain that runs the task has the target.
//! 2. `rustup`: rustup adds the target.
//! 3. `debian`: Debian's packages `rustc-web`, `cargo-web` and `rust-web-src` are a current toolchain with the sources
//!    of the standard library. The standard library is built with the guests.
//!
//! Invariant: Debian's toolchain inherits no environment variable of the toolchain that runs the task, because such a
//! variable would configure the wrong compiler.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, bail};

use crate::{process, report, tools, workspace};

pub(crate) const TARGET: &str = "wasm32-unknown-unknown";

/// The size of the heap that a guest has without growing its memory, in bytes. The SDK's allocator requests 64 KiB at
/// first. If a guest grows its memory, the host changes the protection of pages twice per run.
const INITIAL_HEAP: usize = 128 << 10;

const PACKAGES: &[&str] = &["rustc-web", "cargo-web", "rust-web-src"];

/// A toolchain that works on this machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Toolchain {
    /// The toolchain that runs the task.
    Own,
    /// Debian's toolchain with the path of its linker.
    Debian(PathBuf),
}

impl Toolchain {
    /// Returns the toolchain with this name, or the first that works.
    pub(crate) fn choose(name: Option<&str>) -> Result<Self> {
        match name {
            Some("installed") => installed(),
            Some("rustup") => rustup(),
            Some("debian") => debian(),
            Some(other) => bail!("unknown toolchain `{other}`; the toolchains are `installed`, `rustup` and `debian`"),
            None => {
                let mut tried = String::new();
                for (name, attempt) in
                    [("installed", installed as fn() -> Result<Self>), ("rustup", rustup), ("debian", debian)]
                {
                    match attempt() {
                        Ok(toolchain) => return Ok(toolchain),
                        Err(error) => tried.push_str(&format!("\n  {name}: {error:#}")),
                    }
                }
                Err(anyhow!("no toolchain on this machine can build for {TARGET}; the attempts were:{tried}"))
            }
        }
    }

    /// Returns a cargo command that builds the guests.
    pub(crate) fn build(&self) -> Result<Command> {
        let folder = self.folder()?;
        let mut command = match self {
            Self::Own => workspace::cargo()?,
            Self::Debian(linker) => {
                let mut command = Command::new("/usr/bin/cargo");
                for (name, _) in std::env::vars_os().filter(|(name, _)| belongs_to_own_toolchain(name)) {
                    command.env_remove(name);
                }
                let path = std::env::var_os("PATH").unwrap_or_default();
                let path = std::iter::once(PathBuf::from("/usr/bin")).chain(std::env::split_paths(&path));
                command
                    .env("PATH", std::env::join_paths(path)?)
                    .env("RUSTC", "/usr/bin/rustc")
                    .env("RUSTC_BOOTSTRAP", "1")
                    .env("CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_LINKER", linker);
                command
            }
        };
        command.current_dir(workspace::guests()).env("CARGO_TARGET_DIR", folder);
        command.env_remove("RUSTFLAGS").env("CARGO_ENCODED_RUSTFLAGS", flags().join("\u{1f}"));
        command.args(["build", "--quiet", "--release", "--target", TARGET]);
        if let Self::Debian(_) = self {
            command.args(["-Z", "build-std=std,panic_abort"]);
        }
        Ok(command)
    }

    /// Returns the folder of the built modules.
    pub(crate) fn output(&self) -> Result<PathBuf> {
        Ok(self.folder()?.join(TARGET).join("release"))
    }

    fn folder(&self) -> Result<PathBuf> {
        Ok(workspace::target()?.join(match self {
            Self::Own => "guests",
            Self::Debian(_) => "guests-debian",
        }))
    }
}

fn installed() -> Result<Toolchain> {
    let library = sysroot()?.join("lib/rustlib").join(TARGET).join("lib");
    if !library.is_dir() {
        bail!("the toolchain in use does not have the target {TARGET}");
    }
    Ok(Toolchain::Own)
}

fn rustup() -> Result<Toolchain> {
    tools::find("rustup").context("`rustup` is not installed")?;
    report(&format!("adding the target {TARGET} with rustup\n"));
    process::run_within(Command::new("rustup").args(["target", "add", TARGET]), Duration::from_secs(180))?;
    installed()
}

fn debian() -> Result<Toolchain> {
    let is_installed = || {
        Path::new("/usr/bin/cargo").is_file()
            && Path::new("/usr/bin/rustc").is_file()
            && Path::new("/usr/lib/rustlib/src/rust/library/std").is_dir()
    };
    if !is_installed() {
        tools::apt_install(PACKAGES).with_context(|| format!("{} are missing", PACKAGES.join(", ")))?;
    }
    if !is_installed() {
        bail!("{} are installed, but the sources of the standard library are missing", PACKAGES.join(", "));
    }
    Ok(Toolchain::Debian(linker()?))
}

/// Returns the `rust-lld` of the toolchain that runs the task, or Debian's `wasm-ld`.
fn linker() -> Result<PathBuf> {
    let host = sysroot()?.join("lib/rustlib");
    let folders = std::fs::read_dir(&host).with_context(|| format!("cannot read {}", host.display()))?;
    let mut bundled = folders.flatten().map(|folder| folder.path().join("bin/rust-lld"));
    if let Some(found) = bundled.find(|file| file.is_file()).or_else(|| tools::find("wasm-ld")) {
        return Ok(found);
    }
    tools::apt_install(&["lld"])
        .with_context(|| format!("no linker for {TARGET}: neither `rust-lld` nor `wasm-ld` is installed"))?;
    tools::find("wasm-ld").context("`lld` is installed, but `wasm-ld` is missing")
}

fn sysroot() -> Result<PathBuf> {
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    Ok(PathBuf::from(process::read(Command::new(rustc).args(["--print", "sysroot"]))?))
}

/// Returns true if an environment variable configures the toolchain that runs the task. A variable that configures
/// package registries does not.
fn belongs_to_own_toolchain(name: &OsStr) -> bool {
    const KEPT: &[&str] =
        &["CARGO_HOME", "CARGO_HTTP_", "CARGO_NET_", "CARGO_REGISTRIES_", "CARGO_REGISTRY_", "CARGO_SOURCE_"];
    let name = name.to_string_lossy();
    let begins = |with: &&str| name.starts_with(*with);
    // Cargo adds its own libraries to the library path.
    let removed = ["CARGO", "RUST", "LD_LIBRARY_PATH", "DYLD_"];
    removed.iter().any(begins) && !KEPT.iter().any(begins)
}

/// Returns the compiler flags of the guests: the initial heap, and flags that replace paths of this machine in the
/// modules, so that builds are reproducible.
fn flags() -> Vec<String> {
    let home = std::env::var_os("HOME").map(PathBuf::from);
    let packages = std::env::var_os("CARGO_HOME").map(PathBuf::from).or_else(|| home.map(|home| home.join(".cargo")));
    let remap = |from: &Path, to: &str| format!("--remap-path-prefix={}={to}", from.display());
    let mut flags = vec![format!("-Clink-arg=--initial-heap={INITIAL_HEAP}"), remap(workspace::root(), "/wardroom")];
    flags.extend(packages.map(|packages| remap(&packages, "/cargo")));
    flags
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_toolchain_is_an_error_that_lists_the_known_ones() {
        let error = Toolchain::choose(Some("magic")).unwrap_err().to_string();
        assert_eq!(error, "unknown toolchain `magic`; the toolchains are `installed`, `rustup` and `debian`");
    }

    #[test]
    fn only_variables_of_the_own_toolchain_are_removed() {
        let removed =
            ["CARGO", "CARGO_MANIFEST_DIR", "RUSTUP_TOOLCHAIN", "RUSTC_WRAPPER", "RUSTFLAGS", "LD_LIBRARY_PATH"];
        assert!(removed.iter().all(|name| belongs_to_own_toolchain(OsStr::new(name))));
        let kept = ["PATH", "HOME", "CARGO_HOME", "CARGO_HTTP_CAINFO", "CARGO_REGISTRIES_CRATES_IO_PROTOCOL"];
        assert!(!kept.iter().any(|name| belongs_to_own_toolchain(OsStr::new(name))));
    }
}
