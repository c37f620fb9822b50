//! Builds an engine from a configuration and a program's adapters and capabilities.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    Redeliveries,
    builtin::{OpenLogins, ReactionQueue},
    host::{BotSettings, Host},
    refused_triggers,
    review::{InspectedPlugin, Report, Review},
    serve::Engine,
};
use crate::{
    adapter::{
        ChatFactory, Clock, Directory, IdentityFactory, MonotonicClock, PipelinesFactory, SecretsFactory, SystemClock,
    },
    base::{Activity, Problem},
    config::{BotConfig, Config, Reference, Registry},
    hostcall::{Capability, Context, Loader, Plugins},
    job::{Claims, LockTable},
    messaging::{Account, AccountInbox, Addressing, Outbox, ReplyLimiter},
    metrics::Commands,
    model::CallSpec,
    plugin::{Compiler, GuestMemory, Lock, MAX_GUESTS, Runtime, compile_input},
    policy::{Access, Freezes},
    runner::Jobs,
    store::{Store, StoreError},
};

/// Collects the parts of an engine: adapters for chat networks and pipeline systems, capabilities, the clock, the
/// folder of compiled plugins, the lock file and the source of group members.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use wardroom::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let chat = MemoryChat::new(ChatFeatures::PLAIN);
/// let builder = Engine::builder().chat(chat);
/// let config = builder.read_text("[bot.marvin.memory]", Path::new("."))?;
/// let engine = builder.build(config, Arc::new(MemoryStore::new())).await?;
/// assert_eq!(engine.plugin_count(), 0);
/// # Ok(())
/// # }
/// ```
pub struct EngineBuilder {
    registry: Registry,
    clock: Arc<dyn Clock>,
    cache: Option<PathBuf>,
    compiler: Option<Vec<String>>,
    lock: Option<Lock>,
    directory: Option<Arc<dyn Directory>>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        let registry = Registry::default();
        Self { registry, clock: Arc::new(SystemClock), cache: None, compiler: None, lock: None, directory: None }
    }
}

impl Engine {
    /// Returns a builder without adapters and capabilities.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }

    /// Compiles the plugin file in `input`, and writes the compiled code to `output`. This is the work of the program
    /// in [`EngineBuilder::compiler`], which passes its standard input and output. Limits the processor time and the
    /// memory of the calling process for good.
    ///
    /// # Errors
    /// Fails if the input is not a request of an engine, or if it cannot be read or the output cannot be written.
    pub fn compile_plugin(input: impl std::io::Read, output: impl std::io::Write) -> std::io::Result<()> {
        compile_input(input, output)
    }
}

/// The error of [`EngineBuilder::read`]: all problems of the configuration, ordered by file and line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", problem_lines(.0))]
pub struct ConfigError(pub Vec<Problem>);

fn problem_lines(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
    lines.join("\n")
}

/// The error of [`EngineBuilder::build`] and [`EngineBuilder::review`].
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Wasmtime cannot be started. The value is the reason.
    #[error("the WebAssembly engine cannot be started: {0}")]
    Runtime(String),
    /// The grants, freezes or linked accounts that were made in chat cannot be read from the store.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineBuilder {
    /// Adds an adapter for a chat network. The table `[bot.NAME.NETWORK]` in `plugins.toml` configures a bot's account
    /// on this network.
    #[must_use]
    pub fn chat(mut self, factory: impl ChatFactory) -> Self {
        self.registry.chats.push(Arc::new(factory));
        self
    }

    /// Adds an adapter for a kind of pipeline system. The table `[pipelines.NAME]` in `plugins.toml` configures one
    /// system of this kind.
    #[must_use]
    pub fn pipelines(mut self, factory: impl PipelinesFactory) -> Self {
        self.registry.pipelines.push(Arc::new(factory));
        self
    }

    /// Adds a kind of secret store. A secret in `plugins.toml` can then be a reference to a secret of such a store.
    #[must_use]
    pub fn secrets(mut self, factory: impl SecretsFactory) -> Self {
        self.registry.secrets.push(Arc::new(factory));
        self
    }

    /// Names a kind of secret store that Wardroom supports, but that this program may not include. A reference to a
    /// secret of such a store is then a configuration problem that names the cargo feature to enable.
    #[must_use]
    pub fn without_secrets(mut self, kind: &'static str) -> Self {
        self.registry.left_out_secrets.push(kind);
        self
    }

    /// Sets the kind of identity providers whose accounts people can link, for the tables `[identity.NAME]`.
    #[must_use]
    pub fn identities(mut self, factory: impl IdentityFactory) -> Self {
        self.registry.identities = Some(Arc::new(factory));
        self
    }

    /// Adds a capability, which is a group of host calls. Plugins can import these host calls, and `plugins.toml` can
    /// grant them.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.registry.capabilities.push(Arc::new(capability));
        self
    }

    /// Passes each chat adapter that was added so far to `wrap`, and uses the adapter that `wrap` returns instead.
    #[must_use]
    pub fn map_chats(mut self, wrap: impl Fn(Arc<dyn ChatFactory>) -> Arc<dyn ChatFactory>) -> Self {
        self.registry.chats = self.registry.chats.into_iter().map(wrap).collect();
        self
    }

    /// Passes each pipeline adapter that was added so far to `wrap`, and uses the adapter that `wrap` returns instead.
    #[must_use]
    pub fn map_pipelines(mut self, wrap: impl Fn(Arc<dyn PipelinesFactory>) -> Arc<dyn PipelinesFactory>) -> Self {
        self.registry.pipelines = self.registry.pipelines.into_iter().map(wrap).collect();
        self
    }

    /// Declares a chat network that this build does not include. If a configuration has a table for this network,
    /// reading the configuration reports a problem that names the cargo feature to build with. Does nothing if
    /// [`EngineBuilder::chat`] has already added the network.
    #[must_use]
    pub fn left_out(mut self, network: &'static str) -> Self {
        if self.registry.chats.iter().all(|chat| chat.network() != network) {
            self.registry.left_out.push(network);
        }
        self
    }

    /// Declares that this build has no HTTP listener. If a configuration has the table `[http]`,
    /// [`EngineBuilder::read`] reports a problem that names the cargo feature to build with.
    #[must_use]
    pub fn without_http(mut self) -> Self {
        self.registry.no_http = true;
        self
    }

    /// Sets the source of the current time. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the folder for the compiled code of plugins. The folder must belong to the host's user; a missing folder is
    /// created with mode 0700. Without a folder, the plugins are compiled at each start.
    #[must_use]
    pub fn cache(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(folder.into()), ..self }
    }

    /// Sets the program that compiles plugins: its path and its arguments. The program must do nothing but call
    /// [`Engine::compile_plugin`], because the engine runs the code in its answer. It runs as a child process with
    /// limits of 60 s of processor time and 2 GiB of memory, because a small plugin file can need hours and gigabytes.
    /// Without a program, the engine compiles plugins in its own process and without limits.
    #[must_use]
    pub fn compiler(self, program: Vec<String>) -> Self {
        Self { compiler: Some(program), ..self }
    }

    /// Sets the content of the lock file, which pins the digests of plugin files. A plugin is not loaded if its file is
    /// not in the lock file or has another digest. If `lock` is `None`, plugin files are not pinned.
    #[must_use]
    pub fn lock(self, lock: Option<Lock>) -> Self {
        Self { lock, ..self }
    }

    /// Sets the source of the members of groups. The default is the files that the tables `[group.*]` name.
    #[must_use]
    pub fn directory(self, directory: Arc<dyn Directory>) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// Reads `plugins.toml` and its included files. Does not connect to a network or resolve a secret.
    ///
    /// # Errors
    /// [`ConfigError`]: all configuration problems, each with its file and line.
    pub fn read(&self, path: &Path) -> Result<Config, ConfigError> {
        crate::config::read(path, &self.registry).map_err(ConfigError)
    }

    /// Reads a configuration from the text of a `plugins.toml`. Relative paths in the text are relative to `folder`.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read).
    pub fn read_text(&self, text: &str, folder: &Path) -> Result<Config, ConfigError> {
        crate::config::read_text(text, &folder.join("plugins.toml"), &self.registry).map_err(ConfigError)
    }

    /// Reads a configuration from a value that serializes to the tables of `plugins.toml`. The host converts the value
    /// to TOML; the line number of a configuration problem is a line of this TOML text. Relative paths are relative to
    /// `folder`.
    ///
    /// # Errors
    /// The errors of [`read`](Self::read). Also fails if the value cannot be serialized as TOML.
    pub fn read_value(&self, value: &impl Serialize, folder: &Path) -> Result<Config, ConfigError> {
        let path = folder.join("plugins.toml");
        let text = toml::to_string(value).map_err(|error| {
            let at = crate::base::At { file: path.display().to_string().into(), line: 1 };
            let message = format!("the configuration cannot be written as TOML: {error}");
            ConfigError(vec![Problem { at, message, fix: None }])
        })?;
        crate::config::read_text(&text, &path, &self.registry).map_err(ConfigError)
    }

    /// Returns every key of `plugins.toml`, including the keys of the added adapters and capabilities.
    ///
    /// # Errors
    /// Fails if two host calls have the same name, or if the name of a host call does not have the form
    /// `interface.function`.
    pub fn reference(&self) -> Result<Reference, String> {
        Reference::new(&self.registry)
    }

    /// Loads the plugins and builds the engine. Does not connect to a network.
    ///
    /// # Errors
    /// [`BuildError`]. A plugin that fails to load is not an error: [`Engine::not_loaded`] lists it.
    pub async fn build(self, mut config: Config, store: Arc<dyn Store>) -> Result<Engine, BuildError> {
        // 1. Load the plugins, and remove the aliases and fixed answers that conflict with their commands.
        let runtime = runtime()?;
        let loader = Loader::new(runtime, self.cache, Compiler::new(self.compiler), config.calls.clone().into());
        let plugins = Plugins::load(&config.plugins, &loader, self.lock.as_ref(), &config.optional_commands()).await;
        refused_triggers::remove(&mut config.triggers, &plugins);
        // 2. Collect the rights and freezes: from the configuration, from the directory of groups, and from commands in
        //    chat.
        let access = Arc::new(Access::new(std::mem::take(&mut config.policy)));
        if let Some(directory) = self.directory {
            access.use_directory(directory);
        }
        let monotonic = MonotonicClock::starting_at(self.clock.now());
        access.set_clocks(monotonic, self.clock.clone());
        for warning in access.restore(store.grants().await?) {
            tracing::warn!(reason = warning, "a role that was granted in chat has no effect");
        }
        access.restore_identities(store.identity_links().await?);
        let environments = config.catalog.environments().map(str::to_owned).collect();
        let freezes = Freezes::new(config.freezes, environments, config.time_zone, store.freezes().await?);
        // 3. Register the metrics of each schedule and hook.
        let schedules = config.triggers.schedules.iter().map(|schedule| schedule.name.as_str());
        crate::metrics::create_rare_counters(schedules, config.triggers.hooks.iter().map(|hook| hook.name.as_str()));
        // 4. Create the accounts, their inboxes and the shared outbox.
        let activity = Activity::default();
        let (send, rows) = mpsc::unbounded_channel();
        let outbox = Arc::new(Outbox::new(
            store.clone(),
            config.bots.iter().flat_map(accounts).collect(),
            access.bots.iter().map(|bot| bot.name.clone()).collect(),
            access.network().to_owned(),
            config.absent,
            activity.clone(),
        ));
        let triggers = Arc::new(config.triggers);
        let mut inboxes: Vec<Arc<AccountInbox>> = Vec::new();
        for bot in &config.bots {
            let others = config.bots.iter().filter(|other| other.identity.name != bot.identity.name);
            let others: Vec<Addressing> = others.map(addressing).collect();
            for chat in &bot.chats {
                let network = chat.network();
                inboxes.push(Arc::new(AccountInbox {
                    bot: bot.identity.name.clone(),
                    network,
                    first: inboxes.iter().all(|other| other.network != network),
                    store: store.clone(),
                    outbox: outbox.clone(),
                    addressing: addressing(bot),
                    others: others.clone(),
                    admins: access.admin_ids(),
                    access: access.clone(),
                    listener: triggers.clone(),
                    activity: activity.clone(),
                    rows: send.clone(),
                }));
            }
        }
        // 5. Create the context that all jobs and queries share, and the host.
        let context = Arc::new(Context {
            plugins: Arc::new(plugins),
            guest_memory: GuestMemory::new(config.guest_memory_mib),
            monotonic,
            approvals: Arc::new(config.approvals),
            notices: Arc::new(config.notices),
            store,
            clock: self.clock,
            outbox,
            calls: config.calls,
            catalog: Arc::new(config.catalog),
            backends: Arc::new(config.backends),
            secrets: Arc::new(config.secrets),
            access,
            freezes,
            locks: LockTable::default(),
            claims: Claims::default(),
            stopping: CancellationToken::new(),
            stop: CancellationToken::new(),
            alarm: Notify::new(),
        });
        // Half of the pool of plugin instances is for jobs and half for queries, so that a query never waits for a job.
        let half = MAX_GUESTS as usize / 2;
        let jobs = Arc::new(Jobs::new(context.clone(), activity.clone(), half));
        let host = Arc::new(Host {
            context,
            jobs,
            activity,
            inboxes,
            triggers,
            bot_settings: config.bots.into_iter().map(bot_settings).collect(),
            reply_limiter: ReplyLimiter::default(),
            votes: ReactionQueue::default(),
            commands: Commands::default(),
            redeliveries: Redeliveries::default(),
            identities: config.identities.into_iter().filter_map(|(name, provider)| Some((name, provider?))).collect(),
            logins: OpenLogins::default(),
            ended_adapters: Mutex::default(),
            query_turns: Semaphore::new(half),
        });
        Ok(Engine { host, rows: Mutex::new(Some(rows)), retention: config.store.keep })
    }

    /// Loads the plugins for reports on a configuration. Does not connect to a network, and writes only to the code
    /// cache.
    ///
    /// # Errors
    /// [`BuildError::Runtime`].
    pub async fn review(self, config: Config) -> Result<Review, BuildError> {
        Ok(Review::load(runtime()?, config, self.cache, Compiler::new(self.compiler), self.lock.as_ref()).await)
    }

    /// Returns every host call that a plugin of this program can import, ordered by name.
    ///
    /// # Errors
    /// Fails if two capabilities have a host call with the same name, or if the name of a host call does not have the
    /// form `interface.function`.
    pub fn calls(&self) -> Result<Vec<CallSpec>, String> {
        Ok(self.registry.calls()?.table().iter().cloned().collect())
    }

    /// Returns a description of a plugin file: its commands, settings and host calls. Runs none of the commands.
    ///
    /// # Errors
    /// Fails if the file is not a plugin for this program, or if the plugin fails to describe its commands. The error
    /// is a text of one line.
    pub async fn inspect(&self, file: &Path) -> Result<Report, String> {
        let runtime = runtime().map_err(|error| error.to_string())?;
        let compiler = Compiler::new(self.compiler.clone());
        let loader = Loader::new(runtime, None, compiler, Arc::new(self.registry.calls()?).into());
        Ok(Report::new(&InspectedPlugin::read(&loader, file).await?))
    }
}

fn runtime() -> Result<Runtime, BuildError> {
    Runtime::new().map_err(|error| BuildError::Runtime(format!("{error:#}")))
}

fn bot_settings(bot: BotConfig) -> (String, BotSettings) {
    (bot.identity.name, BotSettings { max_age: bot.max_age, unknown: bot.unknown })
}

fn accounts(bot: &BotConfig) -> impl Iterator<Item = Account> {
    bot.chats.iter().map(move |chat| Account::new(&bot.identity, chat.clone(), bot.signs))
}

fn addressing(bot: &BotConfig) -> Addressing {
    Addressing { prefix: bot.identity.prefix.clone(), name: bot.identity.name.clone() }
}
