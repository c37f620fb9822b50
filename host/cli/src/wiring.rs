//! Reads the configuration with the adapters of this build.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use anyhow::Context as _;
use wardroom::{
    base::Problem,
    config::{Config, Peek, Registry, peek},
    hostcall::{Loader, Plugins},
    plugin::{Lock, Runtime},
};
use wardroom_sqlite::SqliteStore;

use crate::report;

/// All chat adapters, whether this build has them or not.
const NETWORKS: [&str; 3] = ["console", "matrix", "mattermost"];

/// The paths of a host's state.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The folder of the database, and of runs, sessions and compiled code.
    pub(crate) folder: PathBuf,
}

/// A valid configuration with its state paths and its lock.
pub(crate) struct Wired {
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) lock: Option<Lock>,
}

/// Reads the configuration and the lock.
///
/// # Errors
/// All problems of both.
pub(crate) fn wire(path: &Path) -> Result<Wired, Vec<Problem>> {
    wire_with(path, |_| {})
}

/// Like [`wire`], with a change of the adapters before the configuration is read.
///
/// # Errors
/// As [`wire`].
pub(crate) fn wire_with(path: &Path, change: impl FnOnce(&mut Registry)) -> Result<Wired, Vec<Problem>> {
    let peek = peek(path);
    let state = state(path, &peek);
    let mut registry = registry(&peek, state.as_ref().map_or(Path::new("state"), |state| &state.folder));
    change(&mut registry);
    let config = wardroom::config::read(path, &registry);
    let lock = Lock::read(&wardroom::plugin::path(path));
    match (config, lock, state) {
        (Ok(config), Ok(lock), Ok(state)) => Ok(Wired { config, state, lock }),
        (config, lock, state) => {
            let mut problems = config.as_ref().err().cloned().unwrap_or_default();
            problems.extend(lock.err().into_iter().flatten());
            if let Err(message) = state {
                let at = match &config {
                    Ok(config) => config.store.at.clone(),
                    Err(_) => wardroom::base::At { file: path.display().to_string().into(), line: 1 },
                };
                problems.push(Problem {
                    at,
                    message,
                    fix: Some(format!("url = \"{}\"", wardroom::config::DEFAULT_STORE)),
                });
            }
            Err(problems)
        }
    }
}

/// As [`wire`], and prints the problems. `None` where there are any.
pub(crate) fn wire_or_report(path: &Path) -> Option<Wired> {
    reported(wire(path))
}

/// Prints every problem. `None` where there were any.
pub(crate) fn reported(wired: Result<Wired, Vec<Problem>>) -> Option<Wired> {
    wired.inspect_err(|problems| report::problems(problems)).ok()
}

/// Opens the database of a configuration for reading, also while a host runs. `None` where the configuration has problems,
/// which are printed.
///
/// # Errors
/// The database does not exist or cannot be opened.
pub(crate) async fn store_or_report(path: &Path) -> anyhow::Result<Option<SqliteStore>> {
    match wire_or_report(path) {
        Some(wired) => Ok(Some(SqliteStore::open_read_only(&wired.state.database).await?)),
        None => Ok(None),
    }
}

fn state(path: &Path, peek: &Peek) -> Result<State, String> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let database = wardroom_sqlite::parse_url(&peek.store, &folder)?;
    let folder = database.parent().map(Path::to_owned).unwrap_or(folder);
    Ok(State { database, folder })
}

#[cfg_attr(
    not(any(feature = "console", feature = "matrix", feature = "mattermost", feature = "exec")),
    expect(unused_variables, reason = "a build without adapters uses neither")
)]
fn registry(peek: &Peek, state: &Path) -> Registry {
    let mut registry = Registry::default();
    #[cfg(feature = "console")]
    {
        let alone = peek.networks.iter().all(|network| network == wardroom_console::NETWORK);
        registry.chats.push(Arc::new(wardroom_console::ConsoleFactory::new(alone)));
    }
    #[cfg(feature = "matrix")]
    registry.chats.push(Arc::new(wardroom_matrix::MatrixFactory::new(state.to_owned())));
    #[cfg(feature = "mattermost")]
    registry.chats.push(Arc::new(wardroom_mattermost::MattermostFactory::new(state.to_owned())));
    #[cfg(feature = "exec")]
    {
        // This name stays the running binary after an upgrade has replaced its file.
        let supervisor = vec!["/proc/self/exe".to_owned(), crate::SUPERVISE.to_owned()];
        registry.pipelines.push(Arc::new(wardroom_exec::ExecFactory::new(state.join("runs"), supervisor)));
    }
    registry.left_out =
        NETWORKS.into_iter().filter(|name| registry.chats.iter().all(|chat| chat.network() != *name)).collect();
    registry.no_http = cfg!(not(feature = "http"));
    registry
}

impl Wired {
    /// The folder of compiled plugins.
    pub(crate) fn cache(&self) -> PathBuf {
        self.state.folder.join("code")
    }

    /// Opens the database for reading; `None` where no host has created it yet.
    pub(crate) async fn store(&self) -> anyhow::Result<Option<SqliteStore>> {
        match SqliteStore::open_read_only(&self.state.database).await {
            Ok(store) => Ok(Some(store)),
            Err(wardroom_sqlite::OpenError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    /// Adds the grants that were made in chat to the access rules. Returns a warning for each grant that has no effect.
    pub(crate) async fn grants(&self) -> anyhow::Result<Vec<String>> {
        use wardroom::store::Store as _;
        let Some(store) = self.store().await? else { return Ok(self.config.access.restore(Vec::new())) };
        let grants = store.grants().await;
        store.close().await;
        Ok(self.config.access.restore(grants?))
    }

    /// Loads the plugins for a report. The cache of compiled code is used only where the state folder exists.
    pub(crate) async fn plugins(&self, lock: Option<&Lock>) -> anyhow::Result<Plugins> {
        let runtime = Runtime::new()
            .map_err(|error| anyhow::anyhow!("{error:#}"))
            .context("the WebAssembly engine does not start")?;
        let cache = self.state.folder.is_dir().then(|| self.cache());
        let loader = Loader::new(runtime, cache, self.config.calls.clone().into());
        Ok(Plugins::load(&self.config.plugins, &loader, lock).await)
    }
}
