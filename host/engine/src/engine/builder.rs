//! Builds an engine from a configuration, with the adapters and capabilities of a program.

use std::{
    collections::HashMap,
    path::{Path, PathBuf},
    sync::{Arc, Mutex},
};

use jiff::tz::TimeZone;
use serde::Serialize;
use tokio::sync::{Notify, Semaphore, mpsc};
use tokio_util::sync::CancellationToken;

use super::{
    builtin::ReactionQueue,
    health::EndedAdapters,
    host::{BotSettings, Host},
    review::{InspectedPlugin, Review},
    serve::{Arrival, Engine},
};
use crate::{
    adapter::{ChatFactory, Clock, Directory, MonotonicClock, PipelinesFactory, SystemClock},
    base::{Activity, Problem},
    config::{BotConfig, Config, Reference, Registry},
    hostcall::{Capability, Context, Loader, Plugins},
    job::{Claims, LockTable},
    messaging::{Account, AccountInbox, Addressing, Outbox, ReplyLimiter},
    metrics::Commands,
    model::CallTable,
    plugin::{Lock, MOST_GUESTS, Runtime},
    policy::{Access, Freezes},
    runner::Jobs,
    store::{Store, StoreError},
};

/// The parts of an engine: chat networks, pipeline systems, capabilities, clock and caches.
///
/// ```
/// use std::{path::Path, sync::Arc};
/// use wardroom::prelude::*;
///
/// # #[tokio::main(flavor = "current_thread")]
/// # async fn main() -> anyhow::Result<()> {
/// let chat = MemoryChat::new(ChatFeatures::PLAIN);
/// let builder = Engine::builder().chat(ReadyChat(chat));
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
    lock: Option<Lock>,
    directory: Option<Arc<dyn Directory>>,
}

impl Default for EngineBuilder {
    fn default() -> Self {
        let registry = Registry::default();
        Self { registry, clock: Arc::new(SystemClock), cache: None, lock: None, directory: None }
    }
}

impl Engine {
    /// Starts with the parts of an engine.
    pub fn builder() -> EngineBuilder {
        EngineBuilder::default()
    }
}

/// Every problem of a configuration, in the order of the files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ConfigError(pub Vec<Problem>);

impl std::fmt::Display for ConfigError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let lines: Vec<String> = self.0.iter().map(|problem| format!("{}: {}", problem.at, problem.message)).collect();
        f.write_str(&lines.join("\n"))
    }
}

impl std::error::Error for ConfigError {}

/// The reason why an engine cannot be built.
#[non_exhaustive]
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Wasmtime does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Runtime(String),
    /// The grants or freezes that were made in chat cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl EngineBuilder {
    /// Adds a chat network. Its accounts are configured in `[bot.NAME.NETWORK]`.
    #[must_use]
    pub fn chat(mut self, factory: impl ChatFactory) -> Self {
        self.registry.chats.push(Arc::new(factory));
        self
    }

    /// Adds a kind of pipeline systems. Its systems are configured in `[pipelines.NAME]`.
    #[must_use]
    pub fn pipelines(mut self, factory: impl PipelinesFactory) -> Self {
        self.registry.pipelines.push(Arc::new(factory));
        self
    }

    /// Adds a WIT package of host calls. Plugins can import its interfaces, and `plugins.toml` can name its calls.
    #[must_use]
    pub fn capability(mut self, capability: impl Capability) -> Self {
        self.registry.capabilities.push(Arc::new(capability));
        self
    }

    /// Replaces every chat network that was added so far with the result of `wrap`.
    #[must_use]
    pub fn map_chats(mut self, wrap: impl Fn(Arc<dyn ChatFactory>) -> Arc<dyn ChatFactory>) -> Self {
        self.registry.chats = self.registry.chats.into_iter().map(wrap).collect();
        self
    }

    /// Replaces every kind of pipeline systems that was added so far with the result of `wrap`.
    #[must_use]
    pub fn map_pipelines(mut self, wrap: impl Fn(Arc<dyn PipelinesFactory>) -> Arc<dyn PipelinesFactory>) -> Self {
        self.registry.pipelines = self.registry.pipelines.into_iter().map(wrap).collect();
        self
    }

    /// Declares a chat network that exists. If this build does not have it, that is if [`EngineBuilder::chat`] has not
    /// added it before, a table of it is a problem whose text names the cargo feature.
    #[must_use]
    pub fn left_out(mut self, network: &'static str) -> Self {
        if self.registry.chats.iter().all(|chat| chat.network() != network) {
            self.registry.left_out.push(network);
        }
        self
    }

    /// Declares that this build has no HTTP listener. An `[http]` table is a problem whose text names the cargo
    /// feature.
    #[must_use]
    pub fn without_http(mut self) -> Self {
        self.registry.no_http = true;
        self
    }

    /// Sets the clock. The default is [`SystemClock`].
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// Sets the folder for compiled code. It must belong to the host's user and is created with mode 0700. Without it plugins
    /// are compiled at each start.
    #[must_use]
    pub fn cache(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(folder.into()), ..self }
    }

    /// Sets the lock that plugins must match. Without it any bytes are accepted.
    #[must_use]
    pub fn lock(self, lock: Option<Lock>) -> Self {
        Self { lock, ..self }
    }

    /// Sets the source of group members. The default is the files of `[group.*]`.
    #[must_use]
    pub fn directory(self, directory: Arc<dyn Directory>) -> Self {
        Self { directory: Some(directory), ..self }
    }
}

impl EngineBuilder {
    /// Reads `plugins.toml` and the files that it includes. Connects to nothing and resolves no secret.
    ///
    /// # Errors
    /// Every problem, each with its file and line.
    pub fn read(&self, path: &Path) -> Result<Config, ConfigError> {
        crate::config::read(path, &self.registry).map_err(ConfigError)
    }

    /// Reads a configuration from its text. Paths in it are relative to `folder`, and so are the files that it includes.
    ///
    /// # Errors
    /// As [`read`](Self::read).
    pub fn read_text(&self, text: &str, folder: &Path) -> Result<Config, ConfigError> {
        crate::config::read_text(text, &folder.join("plugins.toml"), &self.registry).map_err(ConfigError)
    }

    /// Reads a configuration from a value that serializes to the same tables. A problem's line counts in its TOML form.
    ///
    /// # Errors
    /// As [`read`](Self::read); also a value that has no TOML form.
    pub fn read_value(&self, value: &impl Serialize, folder: &Path) -> Result<Config, ConfigError> {
        let path = folder.join("plugins.toml");
        let text = toml::to_string(value).map_err(|error| {
            let at = crate::base::At { file: path.display().to_string().into(), line: 1 };
            ConfigError(vec![Problem {
                at,
                message: format!("the configuration has no TOML form: {error}"),
                fix: None,
            }])
        })?;
        crate::config::read_text(&text, &path, &self.registry).map_err(ConfigError)
    }
}

impl EngineBuilder {
    /// Every key of `plugins.toml` with these adapters and capabilities.
    ///
    /// # Errors
    /// Two calls have one name, or a name is not `interface.function`.
    pub fn reference(&self) -> Result<Reference, String> {
        Reference::new(&self.registry)
    }
}

impl EngineBuilder {
    /// Loads the plugins and builds the engine. Opens no connection.
    ///
    /// # Errors
    /// [`BuildError`]. A plugin that does not load is no error; [`Engine::not_loaded`] lists it.
    pub async fn build(self, mut config: Config, store: Arc<dyn Store>) -> Result<Engine, BuildError> {
        // 1. The plugins.
        let runtime = runtime()?;
        let loader = Loader::new(runtime, self.cache, config.calls.clone().into());
        let plugins = Arc::new(Plugins::load(&config.plugins, &loader, self.lock.as_ref()).await);
        // 2. The rights: those of the file, of the directory, and those that were granted in chat.
        let access = Arc::new(Access::new(std::mem::take(&mut config.policy)));
        if let Some(directory) = self.directory {
            access.use_directory(directory);
        }
        let monotonic = MonotonicClock::starting_at(self.clock.now());
        access.set_clock(monotonic);
        for warning in access.restore(store.grants().await?) {
            tracing::warn!("{warning}");
        }
        let time_zone = config.bots.first().map_or(TimeZone::UTC, |bot| bot.time_zone.clone());
        let environments = config.catalog.environments().map(str::to_owned).collect();
        let freezes = Freezes::new(config.freezes, environments, time_zone, store.freezes().await?);
        // 3. The metrics that have one row for each schedule and hook.
        let schedules = config.triggers.schedules.iter().map(|schedule| schedule.name.as_str());
        crate::metrics::begin(schedules, config.triggers.hooks.iter().map(|hook| hook.name.as_str()));
        // 4. The accounts, their inboxes and the shared outbox.
        let activity = Activity::default();
        let (send, rows) = mpsc::unbounded_channel();
        let inboxes = Inboxes { bots: &config.bots, send };
        let outbox = Arc::new(Outbox::new(
            store.clone(),
            inboxes.accounts().collect(),
            access.bots.iter().map(|bot| bot.name.clone()).collect(),
            access.network().to_owned(),
            config.absent,
            activity.clone(),
        ));
        let triggers = Arc::new(config.triggers);
        let accounts = inboxes.open(|account, prefix, others, first, rows| AccountInbox {
            bot: account.bot.clone(),
            network: account.chat.network(),
            first,
            store: store.clone(),
            outbox: outbox.clone(),
            addressing: Addressing { prefix, names: vec![account.bot.clone()] },
            others,
            admins: access.admin_ids(),
            access: access.clone(),
            listener: triggers.clone(),
            activity: activity.clone(),
            rows,
        });
        // 5. The context that all jobs and queries share.
        let context = Arc::new(Context {
            monotonic,
            approvals: Arc::new(config.approvals),
            notices: Arc::new(config.notices),
            store,
            clock: self.clock,
            outbox,
            calls: config.calls,
            catalog: Arc::new(config.catalog),
            backends: Arc::new(config.backends),
            access,
            freezes,
            locks: LockTable::default(),
            claims: Claims::default(),
            stopping: CancellationToken::new(),
            stop: CancellationToken::new(),
            alarm: Notify::new(),
        });
        // Half of the pool is for jobs and half for queries, so that neither waits for the other.
        let half = MOST_GUESTS as usize / 2;
        let jobs = Arc::new(Jobs::new(context.clone(), plugins.clone(), activity.clone(), half));
        let host = Arc::new(Host {
            context,
            plugins,
            jobs,
            activity,
            inboxes: accounts.iter().map(|(_, inbox)| inbox.clone()).collect(),
            triggers,
            bot_settings: config.bots.into_iter().map(bot_settings).collect(),
            reply_limiter: ReplyLimiter::default(),
            votes: ReactionQueue::default(),
            commands: Commands::default(),
            ended_adapters: EndedAdapters::default(),
            query_turns: Semaphore::new(half),
        });
        Ok(Engine { host, rows: Mutex::new(Some(rows)), accounts, retention: config.keep })
    }

    /// Loads the plugins for reports: problems, rights, the audit. Connects to nothing and writes only to the code cache.
    ///
    /// # Errors
    /// [`BuildError::Runtime`].
    pub async fn review(self, config: Config) -> Result<Review, BuildError> {
        Ok(Review::load(runtime()?, config, self.cache, self.lock.as_ref()).await)
    }

    /// Every host call that a plugin of this program can import, by name.
    ///
    /// # Errors
    /// One line: two capabilities have a call of one name, or a name is not `interface.function`.
    pub fn calls(&self) -> Result<CallTable, String> {
        Ok(self.registry.calls()?.table().clone())
    }

    /// Describes a plugin file without running a command of it: its commands, settings and host calls.
    ///
    /// # Errors
    /// One line: the file is no plugin of this program, or it does not describe itself.
    pub async fn inspect(&self, file: &Path) -> Result<InspectedPlugin, String> {
        let runtime = runtime().map_err(|error| error.to_string())?;
        InspectedPlugin::read(&runtime, &self.calls()?, file).await
    }
}

fn runtime() -> Result<Runtime, BuildError> {
    Runtime::new().map_err(|error| BuildError::Runtime(format!("{error:#}")))
}

fn bot_settings(bot: BotConfig) -> (String, BotSettings) {
    (bot.identity.name, BotSettings { prefix: bot.identity.prefix, max_age: bot.max_age })
}

/// The inboxes of all accounts. All of them send their messages to one channel.
struct Inboxes<'a> {
    bots: &'a [BotConfig],
    send: mpsc::UnboundedSender<Arrival>,
}

impl Inboxes<'_> {
    fn accounts(&self) -> impl Iterator<Item = Account> {
        let of = |bot: &BotConfig| {
            let name = bot.identity.name.clone();
            bot.chats.iter().map(move |chat| Account { bot: name.clone(), chat: chat.clone() }).collect::<Vec<_>>()
        };
        self.bots.iter().flat_map(of)
    }

    /// Creates an inbox for each account. It recognizes its messages by the bot's prefix and the addresses of the other
    /// bots, and by whether the account is the first one of its network.
    fn open(
        &self,
        make: impl Fn(&Account, String, Vec<Addressing>, bool, mpsc::UnboundedSender<Arrival>) -> AccountInbox,
    ) -> Vec<(Account, Arc<AccountInbox>)> {
        let identities: HashMap<&str, &str> =
            self.bots.iter().map(|bot| (&*bot.identity.name, &*bot.identity.prefix)).collect();
        let mut accounts: Vec<(Account, Arc<AccountInbox>)> = Vec::new();
        for account in self.accounts() {
            let network = account.chat.network();
            let first = accounts.iter().all(|(other, _)| other.chat.network() != network);
            let prefix = identities.get(&*account.bot).copied().unwrap_or_default().to_owned();
            let others = identities.iter().filter(|(name, _)| **name != account.bot);
            let others = others
                .map(|(name, prefix)| Addressing { prefix: (*prefix).to_owned(), names: vec![(*name).to_owned()] })
                .collect();
            let inbox = make(&account, prefix, others, first, self.send.clone());
            accounts.push((account, Arc::new(inbox)));
        }
        accounts
    }
}
