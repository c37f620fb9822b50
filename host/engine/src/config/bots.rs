//! `[bot.*]`: the bots of a host, each with its own accounts, rooms, environments and prefix.
//!
//! Invariant: no two bots answer the same line in a room that both name.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::{
    freezes, people,
    read::{Registry, SHORTEST_KEEP},
};
use crate::{
    adapter::Chat,
    base::{At, Key, Located, NO_KEYS, Table, TableKeys},
    model::{BotIdentity, Catalog, RoomName},
};

/// The keys of `[bot.NAME]`, without the tables of its networks.
pub(crate) static BOT_KEYS: TableKeys = TableKeys {
    path: "bot.NAME",
    about: "An identity: one account per network, with a name, a prefix, rooms and environments. At least one bot is required, \
            each with at least one table of a network.",
    keys: &[
        Key::string(
            "prefix",
            "One or more signs, neither letters nor digits, before a command: `!deploy`. A command can also \
             begin with the bot's name.",
        )
        .default("!"),
        Key::strings(
            "environments",
            "The environments that commands to this bot can touch. Without it, all environments, also those that are added later.",
        ),
        Key::duration(
            "max_age",
            "The age up to which a message is handled that arrives late, for example after downtime.",
        )
        .between(Duration::ZERO, SHORTEST_KEEP)
        .default("15m"),
        Key::string("time_zone", "The time zone of times that are typed or shown, for example `Europe/Berlin`.")
            .default("UTC"),
    ],
};

/// The keys for the account tables, one per chat network of the build.
pub(crate) fn network_keys(registry: &Registry) -> Vec<Key> {
    let about = "The account on this network.";
    registry.chats.iter().map(|factory| Key::table(factory.network(), factory.keys(), about)).collect()
}

/// A bot: one `[bot.NAME]`.
pub(crate) struct BotConfig {
    /// The name and the prefix.
    pub identity: BotIdentity,
    /// The environments in which commands through this bot may act.
    pub environments: Vec<String>,
    /// Whether the file lists `environments`. Without the key, the bot has all environments.
    pub environments_named: bool,
    /// The accounts, one per network.
    pub chats: Vec<Arc<dyn Chat>>,
    /// The maximum age of a command after downtime. Older commands are refused.
    pub max_age: Duration,
    /// The time zone of typed and shown times.
    pub time_zone: TimeZone,
    /// The position of its table.
    pub at: At,
}

impl BotConfig {
    /// Whether the table of one of the bot's accounts names a room.
    pub(crate) fn names(&self, room: &RoomName) -> bool {
        let fits = |chat: &&Arc<dyn Chat>| room.network.as_deref().is_none_or(|network| chat.network() == network);
        self.chats.iter().filter(fits).any(|chat| chat.rooms().contains(&room.name))
    }
}

/// Reads all bots, in the order of the file.
pub(crate) fn read(root: &mut Table, registry: &Registry, catalog: &Catalog) -> Vec<BotConfig> {
    let at = root.at().clone();
    let tables = root.tables("bot");
    if tables.is_empty() {
        root.problem(&at, "there is no [bot.NAME]", "[bot.marvin]".to_owned());
    }
    let mut bots: Vec<BotConfig> = Vec::new();
    for (name, table) in tables {
        let place = table.at_key("prefix");
        let bot = bot(name, table, registry, catalog);
        for other in &bots {
            if let Some(room) = shared_room(other, &bot)
                && other.identity.shares_lines_with(&bot.identity)
            {
                let message = format!(
                    "[bot.{}] and [bot.{}] would both answer the same line in `{room}`",
                    other.identity.name, bot.identity.name
                );
                let prefix = if other.identity.prefix == "?" { "!" } else { "?" };
                root.problem(&place, message, format!("prefix = \"{prefix}\""));
            }
        }
        bots.push(bot);
    }
    bots
}

/// A room that the accounts of both bots on one network name.
fn shared_room(one: &BotConfig, two: &BotConfig) -> Option<String> {
    one.chats.iter().find_map(|chat| {
        let others = two.chats.iter().filter(|other| other.network() == chat.network());
        let others: Vec<String> = others.flat_map(|other| other.rooms()).collect();
        chat.rooms().into_iter().find(|room| others.contains(room))
    })
}

fn bot(name: Located<String>, mut table: Table, registry: &Registry, catalog: &Catalog) -> BotConfig {
    let at = table.at().clone();
    table.add_keys(&network_keys(registry));
    let place = table.at_key("prefix");
    let prefix = table.string_or_default("prefix");
    if prefix.is_empty() || prefix.chars().any(|letter| letter.is_alphanumeric() || letter.is_whitespace()) {
        table.problem(&place, "`prefix` is one or more signs, such as `!`", "prefix = \"!\"".to_owned());
    }
    let environments_named = table.has("environments");
    let environments = match table.strings("environments") {
        Some(names) => {
            people::check_names(&table, "environment", &names.value, catalog.environments());
            names.value.into_iter().map(|name| name.value).collect()
        }
        None => catalog.environments().map(str::to_owned).collect(),
    };
    let max_age = table.duration_or_default("max_age");
    let time_zone = freezes::time_zone(&mut table).unwrap_or(TimeZone::UTC);
    let identity = BotIdentity { name: name.value, prefix };
    let chats = chats(&identity, &mut table, registry);
    table.finish();
    BotConfig { identity, environments, environments_named, chats, max_age, time_zone, at }
}

/// Reads the account tables of a bot.
fn chats(identity: &BotIdentity, table: &mut Table, registry: &Registry) -> Vec<Arc<dyn Chat>> {
    let before = table.problems().count();
    let mut chats = Vec::new();
    for factory in &registry.chats {
        if let Some(mut part) = table.table(factory.network()) {
            chats.extend(factory.read(identity, &mut part));
            part.finish();
        }
    }
    for network in &registry.left_out {
        if table.has(network) {
            let place = table.at_key(network);
            let message = format!("this build has no {network}");
            table.problem(&place, message, format!("cargo build -p wardroom-cli --features {network}"));
            table.add_keys(&[Key::table(network, &NO_KEYS, "")]);
            let _ = table.table(network);
        }
    }
    if chats.is_empty() && table.problems().count() == before {
        let network = registry.chats.first().map_or("console", |factory| factory.network());
        let at = table.at().clone();
        let message = format!("[bot.{}] is in no chat", identity.name);
        table.problem(&at, message, format!("[bot.{}.{network}]", identity.name));
    }
    chats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_two_would_answer() {
        let bot = |name: &str, prefix: &str| BotIdentity { name: name.into(), prefix: prefix.into() };
        let share = |one: &BotIdentity, two: &BotIdentity| one.shares_lines_with(two);
        assert!(share(&bot("marvin", "!"), &bot("bender", "!")));
        assert!(share(&bot("marvin", "!"), &bot("Marvin", "?")));
        assert!(!share(&bot("marvin", "!"), &bot("bender", "?")));
        assert!(!share(&bot("marvin", "!"), &bot("bender", "!!")));
    }
}
