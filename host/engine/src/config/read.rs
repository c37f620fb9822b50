//! Reads the whole configuration, each table after the tables whose names it uses.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use jiff::tz::TimeZone;

use super::{
    approvals,
    apps::{self, Apps},
    bots::{self, BotConfig},
    expect::{self, Expect},
    freezes, hooks,
    http::{self, HttpConfig},
    identities::{self, Identities},
    include::{self, Files},
    limits,
    members::{self, Members},
    notices, people, plugins, secrets,
    store::{self, StoreConfig},
    systems, triggers,
};
use crate::{
    adapter::{
        Backends, Chat, ChatFactory, GroupFiles, IdentityFactory, PipelinesFactory, SecretStores, SecretsFactory,
    },
    base::{Key, Located, Problem, Problems, SecretSlot, Table, TableKeys, nearest},
    command::Builtin,
    hostcall::{Capability, Contract, HostCalls},
    messaging::Notices,
    model::{Catalog, RoomName},
    plugin::PluginConfig,
    policy::{Approval, Bot, Bots, Policy, Window},
    trigger::Triggers,
};

pub(crate) static FILE_KEYS: TableKeys = TableKeys {
    path: "",
    about: "The top-level keys. Things with a name are tables, such as `[app.cms]`. Rules without a name are lists of \
            tables, such as `[[freeze]]`.",
    keys: &[
        Key::strings(
            "include",
            "Patterns for more configuration files, relative to the main file. Included files can add apps, plugins, \
             aliases, fixed answers, listen rules and tests, but cannot extend a table of another file. `*` is allowed \
             in the file name. The key is allowed only in the main file.",
        ),
        Key::strings(
            "trusted_include",
            "Patterns for configuration files that can contain every table except `[people]` and `[store]`. Whoever can \
             change such a file can give rights to everybody.",
        ),
        Key::table("store", &store::STORE_KEYS, "The database, and how long finished jobs are kept."),
        Key::table("limits", &limits::LIMITS_KEYS, "The limits of the whole host."),
        Key::tables("bot", &bots::BOT_KEYS, "The bots of the host.").required(),
        Key::table("people", &people::PEOPLE_KEYS, "The admins, and the room that gets reports of changed rights."),
        Key::tables("person", &members::PERSON_KEYS, "People with several ids."),
        Key::tables(
            "group",
            &members::GROUP_KEYS,
            "Groups of people whose members a file lists or an identity provider names.",
        ),
        Key::tables("machine", &members::MACHINE_KEYS, "Machine accounts for schedules and webhooks."),
        Key::tables(
            "role",
            &people::ROLE_KEYS,
            "The roles: which members can run which commands on which apps and environments.",
        ),
        Key::tables("environment", &apps::ENVIRONMENT_KEYS, "The environments. Commands list them in this order."),
        Key::tables("app", &apps::APP_KEYS, "The apps and their pipelines."),
        Key::tables("pipelines", &systems::PIPELINES_KEYS, "Pipeline systems other than local commands."),
        Key::tables("plugin", &plugins::PLUGIN_KEYS, "The plugins with their grants."),
        Key::array("approval", &approvals::APPROVAL_KEYS, "Rules that hold effects until other people approve them."),
        Key::array("freeze", &freezes::FREEZE_KEYS, "Recurring windows in which jobs cannot begin effects."),
        Key::array("expect", &expect::EXPECT_KEYS, "Tests of the access rules."),
        Key::array("alias", &triggers::ALIAS_KEYS, "Short forms of commands."),
        Key::array("say", &triggers::SAY_KEYS, "Fixed answers."),
        Key::array("listen", &triggers::LISTEN_KEYS, "Patterns in messages that start a query."),
        Key::array("schedule", &triggers::SCHEDULE_KEYS, "Commands that start at scheduled times."),
        Key::array("hook", &hooks::HOOK_KEYS, "Commands that an HTTP request starts."),
        Key::array("notify", &notices::NOTIFY_KEYS, "Notifications to rooms."),
        Key::table("http", &http::HTTP_KEYS, "The HTTP listener for webhooks, health and metrics."),
    ],
};

/// The adapters and capabilities that a program registers with the engine builder.
#[derive(Default)]
pub(crate) struct Registry {
    /// The adapters of the chat networks. The name of a network is also the name of the account table in `[bot.NAME]`.
    pub chats: Vec<Arc<dyn ChatFactory>>,
    /// The chat networks that Wardroom supports, but that this build does not include. If a bot has an account table
    /// for such a network, the configuration problem names the cargo feature to enable.
    pub left_out: Vec<&'static str>,
    /// Whether this build does not include the HTTP listener.
    pub no_http: bool,
    /// The capabilities, with the host calls that the program adds to the host calls of the contract.
    pub capabilities: Vec<Arc<dyn Capability>>,
    pub pipelines: Vec<Arc<dyn PipelinesFactory>>,
    pub secrets: Vec<Arc<dyn SecretsFactory>>,
    /// The kinds of secret stores that Wardroom supports, but that this build does not include.
    pub left_out_secrets: Vec<&'static str>,
    /// The identity providers; `None` if this build does not include them.
    pub identities: Option<Arc<dyn IdentityFactory>>,
}

impl Registry {
    /// Returns the host calls of the contract and of all capabilities.
    ///
    /// # Errors
    /// Fails if two host calls have the same name, if the name of a host call is not `interface.function`, or if a
    /// capability adds a top-level key that exists already.
    pub(crate) fn calls(&self) -> Result<HostCalls, String> {
        let mut names: BTreeSet<&str> = FILE_KEYS.keys.iter().map(|key| key.name).collect();
        let capabilities = self.capabilities.iter().flat_map(|capability| capability.keys());
        let identities = self.identities.iter().flat_map(|identities| identities.keys());
        let mut added = capabilities.chain(self.secrets.iter().flat_map(|secrets| secrets.keys())).chain(identities);
        if let Some(key) = added.find(|key| !names.insert(key.name)) {
            return Err(format!("a capability adds the top-level key `{}`, which exists already", key.name));
        }
        HostCalls::new(
            [&Contract as &dyn Capability].into_iter().chain(self.capabilities.iter().map(|capability| &**capability)),
        )
    }
}

/// A valid configuration, before any connection is opened. Returned by
/// [`EngineBuilder::read`](crate::EngineBuilder::read).
///
/// ```
/// use std::path::Path;
/// use wardroom::prelude::*;
///
/// let builder = Engine::builder().chat(MemoryChat::new(ChatFeatures::PLAIN));
/// let config: Config = builder.read_text("[bot.marvin.memory]", Path::new("."))?;
/// assert_eq!(config.store().value, "sqlite:state/wardroom.db");
/// # Ok::<(), wardroom::engine::ConfigError>(())
/// ```
pub struct Config {
    pub(crate) folder: PathBuf,
    pub(crate) store: StoreConfig,
    /// The memory that all guests together may use, in MiB.
    pub(crate) guest_memory_mib: usize,
    /// The bots that run in this process, in the order of the file; at least one.
    pub(crate) bots: Vec<BotConfig>,
    /// The time zone of the first bot in the file. Times without a time zone in the configuration and in commands are
    /// in this time zone.
    pub(crate) time_zone: TimeZone,
    /// The chat accounts of the bots that [`Config::only`] excluded from this process.
    pub(crate) absent: Vec<Arc<dyn Chat>>,
    pub(crate) catalog: Catalog,
    pub(crate) backends: Backends,
    pub(crate) secrets: SecretStores,
    pub(crate) identities: Identities,
    pub(crate) policy: Policy,
    pub(crate) approvals: Vec<Approval>,
    pub(crate) freezes: Vec<Window>,
    pub(crate) calls: Arc<HostCalls>,
    pub(crate) plugins: Vec<PluginConfig>,
    pub(crate) triggers: Triggers,
    pub(crate) notices: Notices,
    pub(crate) http: Option<HttpConfig>,
    pub(crate) expectations: Vec<Expect>,
}

impl Config {
    /// The URL of the database if the configuration has no `[store] url`.
    pub const DEFAULT_STORE: &str = "sqlite:state/wardroom.db";

    /// The absolute path of the folder with the main file. Relative paths in the main file start from this folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The URL of the database, for example `sqlite:state/wardroom.db`, with the position of `[store] url` in the file.
    pub fn store(&self) -> &Located<String> {
        &self.store.url
    }

    /// The settings of the table `[http]`; `None` if the configuration has no such table.
    pub fn http(&self) -> Option<&HttpConfig> {
        self.http.as_ref()
    }

    /// Restricts the engine to one bot. Rules can still name the other bots and their environments. Returns the rooms
    /// of apps, notifications and reports to which the bot cannot send messages, because only the account tables of
    /// other bots name these rooms.
    ///
    /// # Errors
    /// Fails if the configuration has no bot with this name. The error is the name of a bot with a similar name, or
    /// `None`.
    pub fn only(&mut self, bot: &str) -> Result<Vec<RoomName>, Option<String>> {
        if self.bots.iter().all(|known| known.identity.name != bot) {
            let names = self.bots.iter().map(|known| known.identity.name.as_str());
            return Err(nearest(bot, names).map(str::to_owned));
        }
        // Schedules and hooks of the other bots run in other processes.
        let mut triggers = std::mem::take(&mut self.triggers);
        triggers.schedules.retain(|schedule| self.is_of(bot, schedule.bot.as_deref(), &schedule.room));
        triggers.hooks.retain(|hook| self.is_of(bot, hook.bot.as_deref(), &hook.room));
        self.triggers = triggers;
        let (own, others): (Vec<_>, Vec<_>) = self.bots.drain(..).partition(|known| known.identity.name == bot);
        let anothers = |room: &RoomName| {
            let named_by = |bots: &[BotConfig]| bots.iter().any(|known| known.names(room));
            named_by(&others) && !named_by(&own)
        };
        let rooms = self.rooms().filter(|room| anothers(room)).cloned().collect();
        // The secrets of the other bots and of their hooks are not fetched.
        let paths: Vec<String> = others.iter().map(|bot| format!("bot.{}.", bot.identity.name)).collect();
        let hooks = self.triggers.hooks.iter().flat_map(|hook| [hook.auth.secret()].into_iter().chain(&hook.previous));
        let slots: Vec<SecretSlot> = hooks.filter_map(|secret| secret.slot().cloned()).collect();
        self.secrets.keep(|used| match used.path.starts_with("hook.") {
            true => slots.contains(&used.secret.slot),
            false => !paths.iter().any(|path| used.path.starts_with(path)),
        });
        self.bots = own;
        self.absent.extend(others.into_iter().flat_map(|bot| bot.chats));
        Ok(rooms)
    }

    /// Returns the built-in commands of this configuration that not every host has.
    pub(crate) fn optional_commands(&self) -> Vec<Builtin> {
        let hooks = (!self.triggers.hooks.is_empty()).then_some([Builtin::Hook].as_slice());
        let identities = (!self.identities.is_empty()).then_some([Builtin::Link, Builtin::Unlink].as_slice());
        hooks.into_iter().chain(identities).flatten().copied().collect()
    }

    /// Returns the configured rooms of apps, notifications and reports, without duplicates.
    pub(crate) fn rooms(&self) -> impl Iterator<Item = &RoomName> {
        let glass = self.approvals.iter().filter_map(|rule| rule.break_glass.as_ref()).map(|glass| &glass.tell);
        let notices = self.notices.iter().map(|notice| &notice.room);
        let rooms = self.catalog.apps().filter_map(|app| app.room.as_ref()).chain(glass).chain(notices);
        rooms.chain(&self.policy.tell).collect::<BTreeSet<_>>().into_iter()
    }

    /// Returns whether the bot `bot` runs a trigger. `named` and `room` are the trigger's keys `bot` and `room`. If
    /// `named` is `None`, the first bot whose account table names the room runs the trigger. If no account table names
    /// the room, the first bot of the file runs the trigger.
    fn is_of(&self, bot: &str, named: Option<&str>, room: &RoomName) -> bool {
        // The bot that would run the trigger if all bots ran in one process.
        let owner = || {
            let owner = self.bots.iter().find(|known| known.names(room)).or(self.bots.first());
            owner.map(|known| known.identity.name.as_str())
        };
        named.or_else(owner) == Some(bot)
    }
}

/// The database URL and the chat networks of a configuration file. A program reads them before it creates the adapters.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Peek {
    /// The value of `[store] url`, or [`Config::DEFAULT_STORE`] if the file does not have this key.
    pub store: String,
    /// The names of the account tables of all bots, such as `matrix`. Two bots on the same network add the name twice.
    pub networks: Vec<String>,
}

impl Peek {
    /// Reads the database URL and the chat networks of a file. Ignores configuration problems, which
    /// [`EngineBuilder::read`](crate::EngineBuilder::read) reports.
    pub fn read(path: &Path) -> Self {
        let problems = Problems::default();
        let mut peek = Self { store: Config::DEFAULT_STORE.to_owned(), networks: Vec::new() };
        let Some(files) = include::load(path, &problems) else { return peek };
        let mut root = Table::new("", files.root, &FILE_KEYS, &problems, Arc::new(PathBuf::new()));
        if let Some(url) = root.table("store").and_then(|mut store| store.string("url")) {
            peek.store = url.value;
        }
        for (_, bot) in root.tables("bot") {
            peek.networks.extend(bot.table_keys());
        }
        peek
    }
}

/// Reads a configuration file and the files that it includes.
///
/// # Errors
/// All configuration problems, in the order of files and lines.
pub(crate) fn read(path: &Path, registry: &Registry) -> Result<Config, Vec<Problem>> {
    let problems = Problems::default();
    match include::load(path, &problems) {
        Some(files) => read_files(files, path, registry, problems),
        None => Err(problems.sorted()),
    }
}

/// Reads a configuration from the text of its main file. `path` is the path that the main file would have. Problems
/// name this path, and relative paths in the text start from its folder.
///
/// # Errors
/// Same as [`read`].
pub(crate) fn read_text(text: &str, path: &Path, registry: &Registry) -> Result<Config, Vec<Problem>> {
    let problems = Problems::default();
    let files = include::parse_main(text, path, &problems);
    read_files(files, path, registry, problems)
}

fn read_files(files: Files, path: &Path, registry: &Registry, problems: Problems) -> Result<Config, Vec<Problem>> {
    // 1. Make the folder of the file absolute: paths in the file are relative to it.
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let mut root = Table::new("", files.root, &FILE_KEYS, &problems, Arc::new(folder.clone()));
    // 2. Collect the host calls, and read the top-level keys of capabilities. Stop at a duplicate name, which is an
    // error in the program, not in the file.
    let calls = registry.calls().map_err(|why| {
        root.problem(root.at(), why, None);
        problems.sorted()
    })?;
    for capability in &registry.capabilities {
        let keys = capability.keys();
        let mut part = root.split(keys);
        capability.read(&mut part);
        part.finish();
        root.add_keys(keys);
    }
    //    Read the tables of secret stores, whose own secrets are variables and files only.
    let secrets = secrets::read(&mut root, registry);
    let mut root = root.with_sources(secrets.sources.clone());
    // 3. Read the tables, each after the tables whose names it uses.
    let store = store::read(&mut root);
    let guest_memory_mib = limits::read(&mut root);
    let networks: Vec<&str> = registry.chats.iter().map(|factory| factory.network()).collect();
    let Apps { catalog, backends, terms, pipelines } = apps::read(&mut root, &registry.pipelines, &networks);
    let bots = bots::read(&mut root, registry, &catalog);
    let identities = identities::read(&mut root, registry);
    let members = Members::read(&mut root, &networks, &identities);
    let (admins, tell) = people::people(&mut root, &members);
    let roles = people::roles(&mut root, &catalog, &members);
    let owners = people::owners(&root, &catalog, &members);
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let approvals = approvals::read(&mut root, calls.table(), &catalog, &terms, &roles, &networks);
    let time_zone = bots.first().map_or(TimeZone::UTC, |bot| bot.time_zone.clone());
    let freezes = freezes::read(&mut root, &catalog, &time_zone);
    let plugins = plugins::read(&mut root, calls.table(), &catalog, &names);
    let expectations = expect::read(&mut root, &members);
    let notices = notices::read(&mut root, &catalog, &members);
    let triggers = triggers::read(&mut root, &members, &bots, &time_zone, &files.untrusted);
    let http = http::read(&mut root, &triggers, registry.no_http);
    let secrets = secrets.finish(&root, &catalog, &pipelines);
    // 4. Report unknown keys, and fail if any table has a configuration problem.
    root.finish();
    if problems.count() > 0 {
        return Err(problems.sorted());
    }
    // 5. Assemble the policy and the configuration.
    let Members { people, machines, groups, claims, .. } = members;
    let known = |bot: &BotConfig| Bot { name: bot.identity.name.clone(), environments: bot.environments.clone() };
    let first = bots.iter().flat_map(|bot| &bot.chats).next();
    let policy = Policy {
        admins,
        roles,
        bots: Bots::new(bots.iter().map(known).collect()),
        machines,
        persons: people,
        owners,
        tell,
        groups: GroupFiles::new(groups),
        claims,
        apps: catalog.apps().map(|app| app.name.clone()).collect(),
        network: first.map(|chat| chat.network().to_owned()).unwrap_or_default(),
    };
    Ok(Config {
        folder,
        store,
        guest_memory_mib,
        policy,
        bots,
        time_zone,
        absent: Vec::new(),
        catalog,
        backends,
        secrets,
        identities,
        approvals,
        freezes,
        calls: Arc::new(calls),
        plugins,
        expectations,
        triggers,
        http,
        notices,
    })
}
