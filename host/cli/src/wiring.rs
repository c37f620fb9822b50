//! Reads the configuration with the adapters of this build.

use std::path::{Path, PathBuf};

use wardroom::{
    Engine, EngineBuilder,
    base::{At, Problem},
    config::{Config, DEFAULT_STORE, Peek, peek},
    engine::Review,
    plugin::Lock,
};
use wardroom_sqlite::SqliteStore;

use crate::{Instrument, report};

/// All chat adapters, whether this build has them or not.
const NETWORKS: [&str; 3] = ["console", "matrix", "mattermost"];

/// What a subcommand reads the configuration with.
pub(crate) struct Wiring<'a> {
    /// The path of `plugins.toml`.
    pub(crate) path: &'a Path,
    /// The changes of the program.
    pub(crate) instrument: &'a dyn Instrument,
}

/// The paths of a host's state.
#[derive(Debug, Clone)]
pub(crate) struct State {
    /// The database file.
    pub(crate) database: PathBuf,
    /// The folder of the database, and of runs, sessions and compiled code.
    pub(crate) folder: PathBuf,
}

/// A valid configuration with its builder, its state paths and its lock.
pub(crate) struct Wired {
    pub(crate) builder: EngineBuilder,
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) lock: Option<Lock>,
}

impl Wiring<'_> {
    /// Reads the configuration and the lock.
    ///
    /// # Errors
    /// All problems of both.
    pub(crate) fn read(&self) -> Result<Wired, Vec<Problem>> {
        let path = self.path;
        let peek = peek(path);
        let state = state(path, &peek);
        let builder = self.builder(&peek, state.as_ref().map_or(Path::new("state"), |state| &state.folder));
        let config = builder.read(path).map_err(|error| error.0);
        let lock = Lock::read(&Lock::path(path));
        match (config, lock, state) {
            (Ok(config), Ok(lock), Ok(state)) => Ok(Wired { builder, config, state, lock }),
            (config, lock, state) => {
                let mut problems = config.as_ref().err().cloned().unwrap_or_default();
                problems.extend(lock.err().into_iter().flatten());
                if let Err(message) = state {
                    let at = match &config {
                        Ok(config) => config.store().at.clone(),
                        Err(_) => At { file: path.display().to_string().into(), line: 1 },
                    };
                    problems.push(Problem { at, message, fix: Some(format!("url = \"{DEFAULT_STORE}\"")) });
                }
                Err(problems)
            }
        }
    }

    /// As [`read`](Self::read), and prints the problems. `None` where there are any.
    pub(crate) fn read_or_report(&self) -> Option<Wired> {
        self.read().inspect_err(|problems| report::problems(problems)).ok()
    }

    /// Opens the database of a configuration for reading, also while a host runs. `None` where the configuration has problems,
    /// which are printed.
    ///
    /// # Errors
    /// The database does not exist or cannot be opened.
    pub(crate) async fn store_or_report(&self) -> anyhow::Result<Option<SqliteStore>> {
        match self.read_or_report() {
            Some(wired) => Ok(Some(SqliteStore::open_read_only(&wired.state.database).await?)),
            None => Ok(None),
        }
    }

    /// The adapters for a configuration that is not read, such as that of one plugin file.
    pub(crate) fn builder_alone(&self) -> EngineBuilder {
        self.builder(&Peek::default(), Path::new("state"))
    }

    #[cfg_attr(
        not(any(feature = "console", feature = "matrix", feature = "mattermost", feature = "exec")),
        expect(unused_variables, reason = "a build without adapters uses neither")
    )]
    fn builder(&self, peek: &Peek, state: &Path) -> EngineBuilder {
        let mut builder = Engine::builder();
        #[cfg(feature = "console")]
        {
            let alone = peek.networks.iter().all(|network| network == wardroom_console::NETWORK);
            builder = builder.chat(wardroom_console::ConsoleFactory::new(alone));
        }
        #[cfg(feature = "matrix")]
        {
            builder = builder.chat(wardroom_matrix::MatrixFactory::new(state.to_owned()));
        }
        #[cfg(feature = "mattermost")]
        {
            builder = builder.chat(wardroom_mattermost::MattermostFactory::new(state.to_owned()));
        }
        #[cfg(feature = "exec")]
        {
            // This name stays the running binary after an upgrade has replaced its file.
            let supervisor = vec!["/proc/self/exe".to_owned(), crate::SUPERVISE.to_owned()];
            builder = builder.pipelines(wardroom_exec::ExecFactory::new(state.join("runs"), supervisor));
        }
        for network in NETWORKS {
            builder = builder.left_out(network);
        }
        if cfg!(not(feature = "http")) {
            builder = builder.without_http();
        }
        self.instrument.builder(builder)
    }
}

fn state(path: &Path, peek: &Peek) -> Result<State, String> {
    let folder = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let folder = std::path::absolute(folder).map_err(|error| error.to_string())?;
    let database = wardroom_sqlite::parse_url(&peek.store, &folder)?;
    let folder = database.parent().map(Path::to_owned).unwrap_or(folder);
    Ok(State { database, folder })
}

impl State {
    /// The folder of compiled plugins.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("code")
    }

    /// Opens the database for reading; `None` where no host has created it yet.
    pub(crate) async fn store(&self) -> anyhow::Result<Option<SqliteStore>> {
        match SqliteStore::open_read_only(&self.database).await {
            Ok(store) => Ok(Some(store)),
            Err(wardroom_sqlite::OpenError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Wired {
    /// Loads the plugins for a report. The cache of compiled code is used only where the state folder exists.
    pub(crate) async fn review(self) -> anyhow::Result<(Review, State)> {
        let mut builder = self.builder.lock(self.lock);
        if self.state.folder.is_dir() {
            builder = builder.cache(self.state.cache());
        }
        Ok((builder.review(self.config).await?, self.state))
    }

    /// As [`review`](Self::review), with the grants that were made in chat. Also returns a warning for each grant that has no
    /// effect.
    pub(crate) async fn review_with_grants(self) -> anyhow::Result<(Review, Vec<String>)> {
        let (review, state) = self.review().await?;
        let Some(store) = state.store().await? else { return Ok((review, Vec::new())) };
        let warnings = review.add_grants(&store).await;
        store.close().await;
        Ok((review, warnings?))
    }
}
