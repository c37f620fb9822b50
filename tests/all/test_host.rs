//! The files of one host: a temporary folder with a configuration, the sample pipeline, and a state folder.
//!
//! Invariant: each test has its own folder, so tests run in parallel and leave no files.
//! Not here: the running process (`running_host`), the content of the database (`journal`).

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::OnceLock,
};

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::running_host::eventually;

pub(crate) struct TestHost {
    folder: TempDir,
}

/// The result of a finished program.
#[derive(Debug)]
pub(crate) struct Ran {
    /// The exit code; `None` after a signal.
    pub(crate) code: Option<i32>,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl TestHost {
    /// Creates a folder with this `plugins.toml`. `{guests}` is replaced by the folder of the built guests.
    pub(crate) fn new(config: &str) -> Result<Self> {
        let test_host = Self { folder: tempfile::Builder::new().prefix("wardroom-test-").tempdir()? };
        test_host.configure(config)?;
        copy(&repository().join("sample/deploy.sh"), &test_host.path("sample/deploy.sh"))?;
        copy(&repository().join("sample/versions"), &test_host.path("sample/versions"))?;
        // Make the binary under test available as `wardroom` in the command lines of a test.
        fs::create_dir(test_host.path("bin"))?;
        symlink(binary()?, test_host.path("bin/wardroom"))?;
        test_host.share_compiled_code()?;
        Ok(test_host)
    }

    pub(crate) fn configure(&self, config: &str) -> Result<()> {
        self.write("plugins.toml", config)
    }

    /// Writes a file, with `{guests}` replaced.
    pub(crate) fn write(&self, name: &str, text: &str) -> Result<()> {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap_or(Path::new("/")))?;
        Ok(fs::write(path, with_guests(text))?)
    }

    /// Writes an executable script for a pipeline.
    pub(crate) fn script(&self, name: &str, text: &str) -> Result<()> {
        use std::os::unix::fs::PermissionsExt as _;
        self.write(name, text)?;
        Ok(fs::set_permissions(self.path(name), fs::Permissions::from_mode(0o755))?)
    }

    /// Returns a path in the folder.
    pub(crate) fn path(&self, name: impl AsRef<Path>) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Copies a file or a folder into the host's folder.
    pub(crate) fn copy_in(&self, from: &Path, name: &str) -> Result<()> {
        copy(from, &self.path(name))
    }

    /// Returns a command whose working directory is the host's folder.
    pub(crate) fn command(&self, program: impl AsRef<std::ffi::OsStr>) -> Command {
        let mut command = Command::new(program);
        let path = env::var_os("PATH").unwrap_or_default();
        let paths = std::iter::once(self.path("bin")).chain(env::split_paths(&path));
        command
            .current_dir(self.folder.path())
            .env("PATH", env::join_paths(paths).unwrap_or(path.clone()))
            .env("LC_ALL", "C.UTF-8")
            .env_remove("RUST_LOG");
        command
    }

    /// Runs `wardroom` to its end with this standard input.
    pub(crate) fn wardroom(&self, arguments: &[&str], typed: impl AsRef<[u8]>) -> Result<Ran> {
        let mut command = self.command(binary()?);
        command.args(arguments);
        run(command, typed)
    }

    /// Returns the keys of all started runs, without keys that were only reserved.
    pub(crate) fn runs(&self) -> Vec<String> {
        let Ok(entries) = fs::read_dir(self.path("state/runs")) else { return Vec::new() };
        let started = entries.flatten().filter(|entry| entry.path().join("plan.json").exists());
        let mut names: Vec<String> = started.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        names
    }

    /// Returns all processes that use the folder: hosts, supervisors and their children.
    pub(crate) fn processes(&self) -> Result<Vec<rustix::process::Pid>> {
        let folder = fs::canonicalize(self.folder.path())?;
        let tests = fs::read_link("/proc/self/exe")?;
        let mut found = Vec::new();
        for entry in fs::read_dir("/proc")?.flatten() {
            let Some(number) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
            let there = |name: &str| fs::read_link(entry.path().join(name)).is_ok_and(|path| path.starts_with(&folder));
            let holds = || {
                let files = fs::read_dir(entry.path().join("fd")).into_iter().flatten().flatten();
                files.filter_map(|file| fs::read_link(file.path()).ok()).any(|path| path.starts_with(&folder))
            };
            // Exclude the test binary, and a child that another test has forked but that has not called `exec` yet.
            let is_test = || fs::read_link(entry.path().join("exe")).is_ok_and(|exe| exe == tests);
            if (there("cwd") || holds()) && !is_test() {
                found.extend(rustix::process::Pid::from_raw(number));
            }
        }
        Ok(found)
    }

    /// Links the compiled code that all tests share, because compiling the guests for each test would be slow.
    fn share_compiled_code(&self) -> Result<()> {
        use std::os::unix::fs::DirBuilderExt as _;
        let state = self.path("state");
        fs::DirBuilder::new().mode(0o700).create(&state)?;
        let shared = repository_cache()?;
        // The host rejects a symbolic link to the folder of compiled code, so create a hard link for each file.
        fs::DirBuilder::new().mode(0o700).create(state.join("code"))?;
        for entry in fs::read_dir(shared)?.flatten() {
            let _ = fs::hard_link(entry.path(), state.join("code").join(entry.file_name()));
        }
        Ok(())
    }
}

impl Drop for TestHost {
    fn drop(&mut self) {
        let Ok(shared) = repository_cache() else { return };
        for entry in fs::read_dir(self.path("state/code")).into_iter().flatten().flatten() {
            let kept = shared.join(entry.file_name());
            if !entry.file_name().to_string_lossy().ends_with(".tmp") && !kept.exists() {
                let _ = fs::hard_link(entry.path(), kept);
            }
        }
    }
}

/// Runs a program to its end with this standard input.
pub(crate) fn run(mut command: Command, typed: impl AsRef<[u8]>) -> Result<Ran> {
    use std::io::Write as _;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    let mut input = child.stdin.take().context("standard input is a pipe")?;
    let typed = typed.as_ref().to_owned();
    // A program may exit before it has read all input.
    let writer = std::thread::spawn(move || drop(input.write_all(&typed)));
    let output = child.wait_with_output()?;
    let _ = writer.join();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ok(Ran { code: output.status.code(), out: text(output.stdout), err: text(output.stderr) })
}

/// Returns the root of the repository.
pub(crate) fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap_or(Path::new("/")).to_owned()
}

/// Returns the folder of the built guests.
pub(crate) fn guests() -> PathBuf {
    env::var_os("WARDROOM_GUESTS").map_or_else(|| repository().join("guests"), PathBuf::from)
}

/// Returns the folder of compiled plugins for the engines of all tests.
pub(crate) fn code() -> PathBuf {
    env::temp_dir().join(format!("wardroom-tests-code-{}", rustix::process::geteuid().as_raw()))
}

/// Returns the path of the host under test.
pub(crate) fn binary() -> Result<PathBuf> {
    let named = ["WARDROOM_BIN", "WARDROOM_BIN_QUICK"].into_iter().find_map(env::var_os).map(PathBuf::from);
    match named {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => bail!("WARDROOM_BIN is `{}`, which is not a file", path.display()),
        None => bail!("WARDROOM_BIN is not set; run `cargo xtask test`, or set WARDROOM_BIN to a built `wardroom`"),
    }
}

/// Returns the path of the host with crash points.
pub(crate) fn failpoints() -> Result<PathBuf> {
    match env::var_os("WARDROOM_FAILPOINTS").map(PathBuf::from) {
        Some(path) if path.is_file() => Ok(path),
        Some(path) => bail!("WARDROOM_FAILPOINTS is `{}`, which is not a file", path.display()),
        None => bail!(
            "WARDROOM_FAILPOINTS is not set; run `cargo xtask test`, or set WARDROOM_FAILPOINTS to a built `failpoints`"
        ),
    }
}

/// Replaces `{guests}` in a text by the folder of the built guests.
pub(crate) fn with_guests(text: &str) -> String {
    text.replace("{guests}", &guests().display().to_string())
}

/// Returns the versions for which the test's script was started, in order. The script appends each to the file
/// `started`.
pub(crate) fn started(test_host: &TestHost) -> Vec<String> {
    fs::read_to_string(test_host.path("started")).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// Waits until the test's script was started for this version.
pub(crate) fn starts(test_host: &TestHost, version: &str) -> Result<()> {
    eventually(&format!("the start of {version}"), || Ok(started(test_host).iter().any(|known| known == version)))
}

/// Ends a script that runs until the file `go-VERSION` exists.
pub(crate) fn go(test_host: &TestHost, version: &str) -> Result<()> {
    Ok(fs::write(test_host.path(format!("go-{version}")), "")?)
}

/// Returns the folder of the code that earlier tests in the process compiled.
fn repository_cache() -> Result<PathBuf> {
    static FOLDER: OnceLock<Option<TempDir>> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| tempfile::Builder::new().prefix("wardroom-code-").tempdir().ok());
    Ok(folder.as_ref().context("there is no folder for compiled code")?.path().to_owned())
}

fn copy(from: &Path, to: &Path) -> Result<()> {
    if from.is_dir() {
        fs::create_dir_all(to)?;
        for entry in fs::read_dir(from)? {
            let entry = entry?;
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
        return Ok(());
    }
    if let Some(parent) = to.parent() {
        fs::create_dir_all(parent)?;
    }
    fs::copy(from, to).with_context(|| format!("cannot copy {}", from.display()))?;
    Ok(())
}
