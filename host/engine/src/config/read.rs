//! Reads the whole configuration, in the order in which its tables lean on each other.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use jiff::tz::TimeZone;

use super::{
    approvals,
    catalog::{self, Catalog},
    expect::{self, Expect},
    freezes, include,
    members::Members,
    people,
    plugins::{self, PluginConfig},
    problem::{At, Problem, Problems},
    table::{Located, Table},
};
use crate::{
    access::{Access, Policy},
    approval::{Approval, Window},
    port::{Chat, ChatFactory, pipelines::PipelinesFactory},
};

/// The kinds of adapters that a build has.
#[derive(Default)]
pub struct Registry {
    /// Chat networks, by the name of their table.
    pub chats: Vec<Arc<dyn ChatFactory>>,
    /// Chat networks that exist and that this build leaves out, for a better message.
    pub left_out: Vec<&'static str>,
    /// Pipelines systems, by `kind`.
    pub pipelines: Vec<Arc<dyn PipelinesFactory>>,
}

/// What an adapter needs to know of the identity that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotIdentity {
    /// The name in `[bot.NAME]`.
    pub name: String,
    /// What stands before a command.
    pub prefix: String,
}

/// One `[bot.NAME]`.
pub struct BotConfig {
    /// Its name and prefix.
    pub identity: BotIdentity,
    /// The environments that may be touched through it.
    pub environments: Vec<String>,
    /// Whether the file names them; otherwise they are all that there are.
    pub environments_named: bool,
    /// Its accounts.
    pub chats: Vec<Arc<dyn Chat>>,
    /// The oldest message that is still handled when it comes late, because the bot was away.
    pub max_age: Duration,
    /// The time zone of moments that are typed to it, and of those that it says.
    pub time_zone: TimeZone,
    /// Where it stands.
    pub at: At,
}

/// A configuration without problems of its own.
pub struct Config {
    /// The file that was read.
    pub path: PathBuf,
    /// The folder that it stands in: paths are relative to it.
    pub folder: PathBuf,
    /// `[store] url`.
    pub store: Located<String>,
    /// `[store] keep`: how long what is over is kept.
    pub keep: Duration,
    /// The bot.
    pub bot: BotConfig,
    /// Apps and environments.
    pub catalog: Arc<Catalog>,
    /// People and roles.
    pub access: Arc<Access>,
    /// What effects need of other people.
    pub approvals: Arc<Vec<Approval>>,
    /// The windows in which nothing begins, in the order of the file.
    pub freezes: Vec<Window>,
    /// Plugins, in the order of the file.
    pub plugins: Vec<PluginConfig>,
    /// What is expected of the rules: tests of the policy that `check` runs.
    pub expectations: Vec<Expect>,
    /// Problems found later (by what plugins describe) go to this list.
    pub problems: Problems,
}

/// Where the database is kept if nothing is said.
pub const DEFAULT_STORE: &str = "sqlite:state/wardroom.db";

/// What must be known before adapters can be made: where state is kept, and which networks there are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peek {
    /// `[store] url`.
    pub store: String,
    /// The tables of all `[bot.*]`.
    pub networks: Vec<String>,
}

/// Looks at a file before it is read. Problems are left for [`read`] to report.
pub fn peek(path: &Path) -> Peek {
    let problems = Problems::default();
    let mut peek = Peek { store: DEFAULT_STORE.to_owned(), networks: Vec::new() };
    let Some(tree) = include::load(path, &problems) else { return peek };
    let mut root = Table::new("", tree, &problems, Arc::new(PathBuf::new()));
    if let Some(url) = root.table("store").and_then(|mut store| store.string("url")) {
        peek.store = url.value;
    }
    for (_, bot) in root.tables("bot") {
        peek.networks.extend(bot.table_keys());
    }
    peek
}

/// Reads a configuration. All problems at once, by place; none where it is good.
///
/// # Errors
/// Every problem.
pub fn read(path: &Path, registry: &Registry) -> Result<Config, Vec<Problem>> {
    let problems = Problems::default();
    let Some(tree) = include::load(path, &problems) else { return Err(problems.sorted()) };
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
        _ => PathBuf::from("."),
    };
    let folder = std::path::absolute(&folder).unwrap_or(folder);
    let mut root = Table::new("", tree, &problems, Arc::new(folder.clone()));
    let (store, keep) = store(&mut root);
    let networks: Vec<&str> = registry.chats.iter().map(|factory| factory.network()).collect();
    let catalog = catalog::read(&mut root, &registry.pipelines, &networks);
    let bot = bot(&mut root, registry, &catalog);
    let mut members = Members::read(&mut root, &networks);
    let (admins, tell) = people::people(&mut root, &members);
    let roles = people::roles(&mut root, &catalog, &members);
    let owners = people::owners(&root, &catalog, &members);
    let names: Vec<&str> = roles.iter().map(|role| role.name.as_str()).collect();
    let approvals = approvals::read(&mut root, &catalog, &roles, &networks);
    let zone = bot.as_ref().map_or(TimeZone::UTC, |bot| bot.time_zone.clone());
    let freezes = freezes::read(&mut root, &catalog, &zone);
    let plugins = plugins::read(&mut root, &catalog, &names);
    let expectations = expect::read(&mut root, &members);
    let groups = members.take_groups();
    root.finish();
    match bot {
        Some(bot) if problems.count() == 0 => Ok(Config {
            path: path.to_owned(),
            folder,
            store,
            keep,
            access: Arc::new(Access::new(Policy {
                admins,
                roles,
                bot_environments: bot.environments.clone(),
                bot: bot.identity.name.clone(),
                persons: members.into_people(),
                owners,
                tell,
                groups,
                apps: catalog.apps().map(|app| app.name.clone()).collect(),
                network: bot.chats.first().map(|chat| chat.network().to_owned()).unwrap_or_default(),
            })),
            bot,
            catalog: Arc::new(catalog),
            approvals: Arc::new(approvals),
            freezes,
            plugins,
            expectations,
            problems,
        }),
        _ => Err(problems.sorted()),
    }
}

/// How long what is over is kept if nothing is said.
const KEEP: Duration = Duration::from_secs(90 * 24 * 3600);
/// The shortest time for which it can be kept: a message that is still handled must be known.
const SHORTEST_KEEP: Duration = Duration::from_secs(24 * 3600);
/// The oldest late message that is still handled if nothing is said.
const MAX_AGE: Duration = Duration::from_secs(15 * 60);

fn store(root: &mut Table) -> (Located<String>, Duration) {
    let at = root.at_key("store");
    let fallback = Located { value: DEFAULT_STORE.to_owned(), at };
    let Some(mut table) = root.table("store") else { return (fallback, KEEP) };
    let url = table.string("url");
    let keep = table.duration("keep");
    if let Some(keep) = keep.as_ref().filter(|keep| keep.value < SHORTEST_KEEP) {
        table.problem(&keep.at, "`keep` is at least a day", "keep = \"90d\"".to_owned());
    }
    table.finish();
    (url.unwrap_or(fallback), keep.map_or(KEEP, |keep| keep.value))
}

fn bot(root: &mut Table, registry: &Registry, catalog: &Catalog) -> Option<BotConfig> {
    let at = root.at().clone();
    let mut bots = root.tables("bot");
    if bots.is_empty() {
        root.problem(&at, "there is no [bot.NAME]", "[bot.marvin]".to_owned());
        return None;
    }
    for (name, table) in bots.drain(1..) {
        table.problem(
            &name.at,
            "one host runs one bot in this version",
            "a file of its own for each bot, each with its own [store]".to_owned(),
        );
    }
    let (name, mut table) = bots.remove(0);
    let at = table.at().clone();
    let prefix = table.string("prefix").map_or_else(|| "!".to_owned(), |prefix| prefix.value);
    if prefix.is_empty() || prefix.chars().any(|letter| letter.is_alphanumeric() || letter.is_whitespace()) {
        let place = table.at_key("prefix");
        table.problem(&place, "`prefix` is one or more signs, such as `!`", "prefix = \"!\"".to_owned());
    }
    let environments_named = table.has("environments");
    let environments = match table.strings("environments") {
        Some(names) => {
            people::known(&table, "environment", &names.value, catalog.environments());
            names.value.into_iter().map(|name| name.value).collect()
        }
        None => catalog.environments().map(str::to_owned).collect(),
    };
    let max_age = table.duration("max_age");
    if let Some(age) = max_age.as_ref().filter(|age| age.value > SHORTEST_KEEP) {
        table.problem(&age.at, "`max_age` is at most a day", "max_age = \"15m\"".to_owned());
    }
    let max_age = max_age.map_or(MAX_AGE, |age| age.value);
    let time_zone = freezes::time_zone(&mut table).unwrap_or(TimeZone::UTC);
    let identity = BotIdentity { name: name.value, prefix };
    let mut chats = Vec::new();
    for factory in &registry.chats {
        if let Some(mut part) = table.table(factory.network()) {
            chats.extend(factory.read(&identity, &mut part));
            part.finish();
        }
    }
    for network in &registry.left_out {
        if table.has(network) {
            let place = table.at_key(network);
            let message = format!("this build has no {network}");
            table.problem(&place, message, format!("cargo build -p wardroom-cli --features {network}"));
            let _ = table.table(network);
        }
    }
    if chats.is_empty() && table.problems().count() == 0 {
        let network = registry.chats.first().map_or("console", |factory| factory.network());
        table.problem(
            &at,
            format!("[bot.{}] is in no chat", identity.name),
            format!("[bot.{}.{network}]", identity.name),
        );
    }
    table.finish();
    Some(BotConfig { identity, environments, environments_named, chats, max_age, time_zone, at })
}
