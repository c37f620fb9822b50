//! Joins the stages: a message comes in, an answer goes out.
//!
//! `Host::handle` and `Host::decide` (in `handle`) are that path; they read from top to bottom. [`Engine::ask`] is
//! its first half, for programs that say the answer themselves.
//! Embedding: read a configuration with [`crate::config::read`], give a store to [`Engine::builder`], and
//! [`Engine::run`] it. `examples/embed.rs` does so with a chat of its own.

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::tz::TimeZone;
use tokio::{
    sync::{Notify, Semaphore, mpsc},
    task::JoinSet,
};
use tokio_util::sync::CancellationToken;

use super::health::Gone;
use crate::{
    adapter::{Chat, Clock, Directory, Inbox, MonotonicClock, SystemClock},
    base::{Activity, ActivityGuard},
    config::{BotConfig, Config},
    engine::builtin::ReactionQueue,
    hostcall::{Context, Loader, Plugins},
    job::{Claims, LockTable},
    messaging::{Account, AccountInbox, Addressing, Outbox, ReplyLimiter},
    metrics::Commands,
    model::BotIdentity,
    plugin::{Lock, MOST_GUESTS, Runtime},
    policy::Freezes,
    runner::Jobs,
    store::{InboxRow, Store, StoreError},
    trigger::Triggers,
};

/// Puts an [`Engine`] together.
pub struct EngineBuilder {
    config: Config,
    store: Arc<dyn Store>,
    clock: Arc<dyn Clock>,
    cache: Option<PathBuf>,
    lock: Option<Lock>,
    directory: Option<Arc<dyn Directory>>,
}

/// An engine, ready to run.
pub struct Engine {
    pub(crate) host: Arc<Host>,
    rows: Mutex<Option<mpsc::UnboundedReceiver<(InboxRow, bool, ActivityGuard)>>>,
    accounts: Vec<(Account, Arc<AccountInbox>)>,
    keep: Duration,
}

/// What handling a message needs.
pub(crate) struct Host {
    pub(crate) context: Arc<Context>,
    pub(crate) plugins: Arc<Plugins>,
    pub(crate) jobs: Arc<Jobs>,
    pub(crate) activity: Activity,
    pub(crate) inboxes: Vec<Arc<AccountInbox>>,
    pub(crate) triggers: Arc<Triggers>,
    pub(crate) bot_settings: HashMap<String, BotSettings>,
    pub(crate) reply_limiter: ReplyLimiter,
    pub(crate) votes: ReactionQueue,
    pub(crate) commands: Commands,
    pub(crate) gone: Gone,
    // Half of the pool; the other half is for jobs, so that neither keeps the other from its turn.
    pub(crate) query_turns: Semaphore,
}

/// How one identity is spoken to.
#[derive(Debug, Clone, Default)]
pub(crate) struct BotSettings {
    pub(crate) prefix: String,
    pub(crate) max_age: Duration,
}

/// How long what is at work may take to come to a good place when the host is asked to stop.
const GRACE: Duration = Duration::from_secs(8);
/// How often what is over is looked for, to be removed.
pub(crate) const TIDY: Duration = Duration::from_secs(3600);

/// Why an engine cannot be made.
#[derive(Debug, thiserror::Error)]
pub enum BuildError {
    /// Wasmtime does not start.
    #[error("the WebAssembly engine does not start: {0}")]
    Runtime(String),
    /// What was granted in chat, or what is frozen, cannot be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// Why an engine stopped by itself.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The store failed at the start.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// A chat can never go on.
    #[error("{network} cannot go on: {reason}")]
    Chat {
        /// The network.
        network: &'static str,
        /// Why.
        reason: String,
    },
    /// It was run before.
    #[error("an engine runs once")]
    Again,
}

impl EngineBuilder {
    /// The clock; the machine's own if nothing is said.
    #[must_use]
    pub fn clock(self, clock: Arc<dyn Clock>) -> Self {
        Self { clock, ..self }
    }

    /// The folder for compiled code. It must belong to the host's user and is made with mode 0700; without
    /// one, plugins are compiled at each start.
    #[must_use]
    pub fn cache(self, folder: impl Into<PathBuf>) -> Self {
        Self { cache: Some(folder.into()), ..self }
    }

    /// The lock that plugins must match; without one any bytes are taken.
    #[must_use]
    pub fn lock(self, lock: Option<Lock>) -> Self {
        Self { lock, ..self }
    }

    /// Who tells who is in the groups that roles name; the files of `[group.*]` if nothing is said.
    #[must_use]
    pub fn directory(self, directory: Arc<dyn Directory>) -> Self {
        Self { directory: Some(directory), ..self }
    }

    /// Loads the plugins, reads what was granted in chat, and puts everything together. Connects to nothing.
    ///
    /// # Errors
    /// [`BuildError`]. A plugin that does not load is none: it is among [`Plugins::not_loaded`].
    pub async fn build(self) -> Result<Engine, BuildError> {
        let runtime = Runtime::new().map_err(|error| BuildError::Runtime(format!("{error:#}")))?;
        let loader = Loader::new(runtime, self.cache, self.config.calls.clone().into());
        let plugins = Plugins::load(&self.config.plugins, &loader, self.lock.as_ref()).await;
        let activity = Activity::default();
        let access = self.config.access;
        if let Some(directory) = self.directory {
            access.use_directory(directory);
        }
        let monotonic = MonotonicClock::starting_at(self.clock.now());
        access.set_clock(monotonic);
        for warning in access.restore(self.store.grants().await?) {
            tracing::warn!("{warning}");
        }
        let (bots, triggers) = (self.config.bots, self.config.triggers);
        let schedules = triggers.schedules.iter().map(|schedule| schedule.name.as_str());
        crate::metrics::begin(schedules, triggers.hooks.iter().map(|hook| hook.name.as_str()));
        let account =
            |bot: &BotConfig, chat: &Arc<dyn Chat>| Account { bot: bot.identity.name.clone(), chat: chat.clone() };
        let all: Vec<Account> = bots.iter().flat_map(|bot| bot.chats.iter().map(|chat| account(bot, chat))).collect();
        let names = access.bots.iter().map(|bot| bot.name.clone()).collect();
        let outbox = Arc::new(Outbox::new(
            self.store.clone(),
            all.clone(),
            names,
            access.network().to_owned(),
            self.config.absent,
            activity.clone(),
        ));
        let (send, rows) = mpsc::unbounded_channel();
        let identities = bots.iter().map(|bot| (bot.identity.name.clone(), bot.identity.clone()));
        let identities: HashMap<String, BotIdentity> = identities.collect();
        let mut accounts: Vec<(Account, Arc<AccountInbox>)> = Vec::new();
        for account in all {
            let network = account.chat.network();
            let first = accounts.iter().all(|(other, _)| other.chat.network() != network);
            let prefix = identities.get(&account.bot).map(|identity| identity.prefix.clone()).unwrap_or_default();
            let inbox = Arc::new(AccountInbox {
                bot: account.bot.clone(),
                network,
                first,
                store: self.store.clone(),
                outbox: outbox.clone(),
                addressing: Addressing { prefix, names: vec![account.bot.clone()] },
                others: others(&identities, &account.bot),
                admins: access.admin_ids(),
                access: access.clone(),
                listener: triggers.clone(),
                activity: activity.clone(),
                rows: send.clone(),
            });
            accounts.push((account, inbox));
        }
        let time_zone = bots.first().map_or(TimeZone::UTC, |bot| bot.time_zone.clone());
        let voice =
            |bot: BotConfig| (bot.identity.name, BotSettings { prefix: bot.identity.prefix, max_age: bot.max_age });
        let environments = self.config.catalog.environments().map(str::to_owned).collect();
        let said = self.store.freezes().await?;
        let freezes = Freezes::new(self.config.freezes, environments, time_zone, said);
        let context = Arc::new(Context {
            monotonic,
            approvals: self.config.approvals,
            notices: self.config.notices,
            store: self.store,
            clock: self.clock,
            outbox,
            calls: self.config.calls,
            catalog: self.config.catalog,
            backends: self.config.backends,
            access,
            freezes,
            locks: LockTable::default(),
            claims: Claims::default(),
            stopping: CancellationToken::new(),
            stop: CancellationToken::new(),
            alarm: Notify::new(),
        });
        let plugins = Arc::new(plugins);
        let half = MOST_GUESTS as usize / 2;
        let jobs = Arc::new(Jobs::new(context.clone(), plugins.clone(), activity.clone(), half));
        let host = Arc::new(Host {
            context,
            plugins,
            jobs,
            activity,
            inboxes: accounts.iter().map(|(_, inbox)| inbox.clone()).collect(),
            triggers,
            bot_settings: bots.into_iter().map(voice).collect(),
            reply_limiter: ReplyLimiter::default(),
            votes: ReactionQueue::default(),
            commands: Commands::default(),
            gone: Gone::default(),
            query_turns: Semaphore::new(half),
        });
        Ok(Engine { host, rows: Mutex::new(Some(rows)), accounts, keep: self.config.keep })
    }
}

/// How the other identities of a host are addressed.
fn others(identities: &HashMap<String, BotIdentity>, bot: &str) -> Vec<Addressing> {
    let others = identities.values().filter(|identity| identity.name != bot);
    others.map(|identity| Addressing { prefix: identity.prefix.clone(), names: vec![identity.name.clone()] }).collect()
}

impl Engine {
    /// Begins to put an engine together.
    pub fn builder(config: Config, store: Arc<dyn Store>) -> EngineBuilder {
        EngineBuilder { config, store, clock: Arc::new(SystemClock), cache: None, lock: None, directory: None }
    }

    /// The plugins, loaded or not.
    pub fn plugins(&self) -> &Plugins {
        &self.host.plugins
    }

    /// Where messages of an account can be brought by a program that does so itself; `None` where the configuration has no
    /// such account.
    pub fn inbox(&self, bot: &str, network: &str) -> Option<Arc<dyn Inbox>> {
        let fits = |account: &Account| account.bot == bot && account.chat.network() == network;
        let (_, inbox) = self.accounts.iter().find(|(account, _)| fits(account))?;
        Some(inbox.clone())
    }

    /// Serves until every chat has ended by itself and what is at work came to rest, or until `stop`: then no command is
    /// begun, plugins at work are ended at their next call, what they did is on disk, and after a few seconds the rest is
    /// ended where it stands. Jobs go on from there at the next start.
    ///
    /// # Errors
    /// [`RunError`].
    pub async fn run(&self, stop: CancellationToken) -> Result<(), RunError> {
        let rows = self.rows.lock().unwrap_or_else(PoisonError::into_inner).take();
        let Some(mut rows) = rows else { return Err(RunError::Again) };
        let context = &self.host.context;
        // Whichever way this ends, nothing of it goes on after it.
        let _stopping = context.stopping.clone().drop_guard();
        let _stop = context.stop.clone().drop_guard();
        let mut tasks = JoinSet::new();
        self.look_at_the_clock().await?;
        self.host.plugins.keep(&*context.store).await?;
        // What is left to be sent is work from the first moment on.
        context.outbox.wake();
        tasks.spawn(context.outbox.clone().run());
        self.host.jobs.resume().await?;
        // What came due while nobody was there is work from the first moment on too.
        self.host.jobs.wake_due().await;
        tasks.spawn(self.host.jobs.clone().run_wakeups());
        tasks.spawn(self.host.clone().tidy(self.keep));
        // What was brought while this process was not yet serving waits in the store and in the channel too.
        let mut taken = HashSet::new();
        for row in context.store.unhandled().await? {
            taken.insert(row.key.clone());
            self.host.clone().spawn(row, self.host.activity.begin(), true);
        }
        for schedule in &self.host.triggers.schedules {
            tasks.spawn(self.host.clone().keep(schedule.clone()));
        }
        let host = self.host.clone();
        let handling = tasks.spawn(async move {
            while let Some((row, late, guard)) = rows.recv().await {
                if !taken.remove(&row.key) {
                    host.clone().spawn(row, guard, late);
                }
            }
        });
        let served = self.serve(&stop).await;
        if !stop.is_cancelled() && served.is_ok() {
            self.host.activity.until_idle().await;
        }
        // No command is begun from here on, and what is at work comes to a place from which it goes on at the next start.
        context.stopping.cancel();
        handling.abort();
        if tokio::time::timeout(GRACE, self.host.activity.until_idle()).await.is_err() {
            tracing::warn!("not everything came to rest in time; it goes on at the next start");
        }
        served
    }

    /// A clock that stands behind what was written says that somebody set it, and that times may fire late.
    async fn look_at_the_clock(&self) -> Result<(), StoreError> {
        let context = &self.host.context;
        let now = context.clock.now();
        match context.store.newest_time().await? {
            Some(newest) if newest > now => tracing::error!(
                %now, %newest,
                "the clock stands behind the newest entry of the journal: what waits for a time waits longer"
            ),
            _ => {}
        }
        Ok(())
    }

    /// Serves all chats until each has ended.
    async fn serve(&self, stop: &CancellationToken) -> Result<(), RunError> {
        let mut serving = JoinSet::new();
        for (account, inbox) in &self.accounts {
            let (account, inbox, stop, host) = (account.clone(), inbox.clone(), stop.clone(), self.host.clone());
            serving.spawn(async move {
                let ended = account.chat.serve(inbox, stop).await;
                ended.map_err(|error| {
                    let (network, reason) = (account.chat.network(), format!("{error:#}"));
                    host.gone.add(&account, reason.clone());
                    RunError::Chat { network, reason }
                })
            });
        }
        let mut failed = None;
        while let Some(ended) = serving.join_next().await {
            let ended =
                ended.unwrap_or_else(|error| Err(RunError::Chat { network: "a chat", reason: error.to_string() }));
            if let Err(error) = ended {
                tracing::error!(%error, "a chat ended; the others go on");
                failed = Some(error);
            }
        }
        failed.map_or(Ok(()), Err)
    }
}
