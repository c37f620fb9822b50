//! Reads the configuration with the adapters of this build.

use std::path::{Path, PathBuf};

use wardroom::{
    Engine, EngineBuilder,
    base::{At, Problem},
    config::{Config, Peek},
    engine::Review,
    plugin::Lock,
};
use wardroom_sqlite::SqliteStore;

use crate::{Instrument, report};

/// The names of all chat networks for which an adapter exists. A build of the host can leave out some of these
/// adapters.
const NETWORKS: [&str; 3] = ["console", "matrix", "mattermost"];

/// The inputs that a subcommand needs to read the configuration.
pub(crate) struct Wiring<'a> {
    /// The path of `plugins.toml`.
    pub(crate) path: &'a Path,
    pub(crate) instrument: &'a dyn Instrument,
}

#[derive(Debug, Clone)]
pub(crate) struct State {
    pub(crate) database: PathBuf,
    /// The folder of the database. It also contains the files of pipeline runs, chat sessions and compiled plugins.
    pub(crate) folder: PathBuf,
}

/// A valid configuration, the engine builder that read it, the paths of the database and of its folder, and the content
/// of `plugins.lock`.
pub(crate) struct Wired {
    pub(crate) builder: EngineBuilder,
    pub(crate) config: Config,
    pub(crate) state: State,
    pub(crate) lock: Option<Lock>,
}

impl Wiring<'_> {
    /// Reads the configuration and the lock file.
    ///
    /// # Errors
    /// The configuration or the lock file has problems. The error contains the problems of both files.
    pub(crate) fn read(&self) -> Result<Wired, Vec<Problem>> {
        let path = self.path;
        let peek = Peek::read(path);
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
                    problems.push(Problem { at, message, fix: Some(format!("url = \"{}\"", Config::DEFAULT_STORE)) });
                }
                Err(problems)
            }
        }
    }

    /// Reads the configuration and the lock file like [`read`](Self::read). If they have problems, prints the problems
    /// and returns `None`.
    pub(crate) fn read_or_report(&self) -> Option<Wired> {
        self.read().inspect_err(|problems| report::problems(problems)).ok()
    }

    /// Opens the database for reading, also while a host runs. If the configuration has problems, prints the problems
    /// and returns `None`.
    ///
    /// # Errors
    /// The database does not exist or cannot be opened.
    pub(crate) async fn store_or_report(&self) -> anyhow::Result<Option<SqliteStore>> {
        match self.read_or_report() {
            Some(wired) => Ok(Some(SqliteStore::open_read_only(&wired.state.database).await?)),
            None => Ok(None),
        }
    }

    /// Returns an engine builder for subcommands that do not read the configuration, such as `plugin inspect`.
    pub(crate) fn builder_alone(&self) -> EngineBuilder {
        self.builder(&Peek::default(), Path::new("state"))
    }

    #[cfg_attr(
        not(any(
            feature = "console",
            feature = "matrix",
            feature = "mattermost",
            feature = "exec",
            feature = "jenkins",
            feature = "spinnaker",
            feature = "tekton"
        )),
        expect(unused_variables, reason = "a build without adapters uses neither")
    )]
    fn builder(&self, peek: &Peek, state: &Path) -> EngineBuilder {
        // `/proc/self/exe` is the running binary, even after an upgrade has replaced its file.
        let this = || "/proc/self/exe".to_owned();
        let mut builder = Engine::builder().compiler(vec![this(), crate::COMPILE.to_owned()]);
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
            let supervisor = vec![this(), crate::SUPERVISE.to_owned()];
            builder = builder.pipelines(wardroom_exec::ExecFactory::new(state.join("runs"), supervisor));
        }
        #[cfg(feature = "jenkins")]
        {
            builder = builder.pipelines(wardroom_jenkins::JenkinsFactory::new(state.to_owned()));
        }
        #[cfg(feature = "spinnaker")]
        {
            builder = builder.pipelines(wardroom_spinnaker::SpinnakerFactory::new(state.to_owned()));
        }
        #[cfg(feature = "tekton")]
        {
            builder = builder.pipelines(wardroom_tekton::TektonFactory::new(state.to_owned()));
        }
        #[cfg(feature = "vault")]
        {
            builder = builder.secrets(wardroom_vault::VaultFactory::default());
        }
        builder = builder.without_secrets("vault");
        #[cfg(feature = "oidc")]
        {
            builder = builder.identities(wardroom_oidc::OidcFactory::default());
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
    /// Returns the path of the folder that caches the compiled code of plugins.
    pub(crate) fn cache(&self) -> PathBuf {
        self.folder.join("code")
    }

    /// Opens the database for reading. Returns `None` if no host has created the database yet.
    pub(crate) async fn store(&self) -> anyhow::Result<Option<SqliteStore>> {
        match SqliteStore::open_read_only(&self.database).await {
            Ok(store) => Ok(Some(store)),
            Err(wardroom_sqlite::OpenError::Missing { .. }) => Ok(None),
            Err(error) => Err(error.into()),
        }
    }
}

impl Wired {
    /// Loads the plugins for a report. If the state folder exists, uses and extends its cache of compiled plugins. If
    /// the folder does not exist, compiles the plugins without a cache, because a report must not create the folder.
    pub(crate) async fn review(self) -> anyhow::Result<(Review, State)> {
        let mut builder = self.builder.lock(self.lock);
        if self.state.folder.is_dir() {
            builder = builder.cache(self.state.cache());
        }
        Ok((builder.review(self.config).await?, self.state))
    }

    /// Loads the plugins like [`review`](Self::review). If the database exists, also reads the grants that people made
    /// in chat.
    pub(crate) async fn review_with_grants(self) -> anyhow::Result<Review> {
        let (mut review, state) = self.review().await?;
        if let Some(store) = state.store().await? {
            let added = review.add_grants(&store).await;
            store.close().await;
            added?;
        }
        Ok(review)
    }
}
