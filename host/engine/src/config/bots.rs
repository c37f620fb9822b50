//! Reads `[bot.*]`: the bots of a host, each with its own accounts, rooms, environments and prefix.
//!
//! Invariant: in a room that two bots share, each line is a command to at most one of them.

use std::{sync::Arc, time::Duration};

use jiff::tz::TimeZone;

use super::{freezes, people, read::Registry, store::MIN_KEEP};
use crate::{
    adapter::Chat,
    base::{At, Key, Located, Table, TableKeys},
    messaging::{Reactions, Signs, UnknownCommand},
    model::{BotIdentity, Catalog, RoomName},
};

/// The configuration keys of a table `[bot.NAME]`. Each chat adapter adds the key for its account table, such as
/// `matrix`.
pub(crate) static BOT_KEYS: TableKeys = TableKeys {
    path: "bot.NAME",
    about: "A bot: one account per chat network, with a name, a prefix, rooms and environments. At least one bot is \
            required. Each bot needs at least one account table, such as `[bot.NAME.matrix]`.",
    keys: &[
        Key::string(
            "prefix",
            "The characters before a command, such as `!` in `!deploy`. Letters, digits and spaces are not allowed. A \
             command can also begin with the bot's name.",
        )
        .default("!"),
        Key::strings(
            "environments",
            "The environments that commands to this bot can change. Without this key, all environments, including later \
             additions.",
        ),
        Key::duration(
            "max_age",
            "The maximum age of a command that arrives late, for example after downtime. The bot refuses older \
             commands.",
        )
        .between(Duration::ZERO, MIN_KEEP)
        .default("15m"),
        Key::duration(
            "card_after",
            "The time after which a running job gets a status card. A job that waits gets its card at once.",
        )
        .between(Duration::ZERO, Duration::from_secs(3600))
        .default("2s"),
        Key::string(
            "reactions",
            "The reactions that the bot adds to commands: `seen` acknowledges each action, `all` also adds the outcome \
             of each command, `none` adds none, so that each action gets a status card at once.",
        )
        .default("seen"),
        Key::string(
            "unknown",
            "The answer to a message in a room that begins with the prefix and is not a command: `answer` sends a \
             suggestion, `react` adds only a reaction, `ignore` does nothing. Use `ignore` in a room where another bot has \
             the same prefix.",
        )
        .default("answer"),
        Key::string("time_zone", "The time zone of times in commands and messages, for example `Europe/Berlin`.")
            .default("UTC"),
    ],
};

/// Returns a configuration key for each chat network that this build includes. The key's value is a bot's account
/// table, such as `[bot.NAME.matrix]`.
pub(crate) fn network_keys(registry: &Registry) -> Vec<Key> {
    let about = "The bot's account on this chat network.";
    registry.chats.iter().map(|factory| Key::table(factory.network(), factory.keys(), about)).collect()
}

pub(crate) struct BotConfig {
    pub identity: BotIdentity,
    /// The environments in which commands to this bot can have effects.
    pub environments: Vec<String>,
    /// Whether the bot's table has the key `environments`. A bot without the key can change all environments.
    pub environments_named: bool,
    /// The bot's accounts, at most one per chat network.
    pub chats: Vec<Arc<dyn Chat>>,
    /// The maximum age of a command that arrives late, for example after downtime. The bot refuses older commands.
    pub max_age: Duration,
    /// The reactions and status cards that the bot sends.
    pub signs: Signs,
    /// The answer to an unknown command.
    pub unknown: UnknownCommand,
    /// The time zone of times in commands and messages.
    pub time_zone: TimeZone,
    pub at: At,
}

impl BotConfig {
    /// Returns whether an account table of the bot names this room.
    pub(crate) fn names(&self, room: &RoomName) -> bool {
        let fits = |chat: &&Arc<dyn Chat>| room.network.as_deref().is_none_or(|network| chat.network() == network);
        self.chats.iter().filter(fits).any(|chat| chat.rooms().contains(&room.name))
    }
}

/// Reads all bots, in the order of the file. Reports a configuration problem if two bots would answer the same line in
/// a room.
pub(crate) fn read(root: &mut Table, registry: &Registry, catalog: &Catalog) -> Vec<BotConfig> {
    let tables = root.tables("bot");
    if tables.is_empty() {
        let message = "the configuration has no bot; at least one table [bot.NAME] is required";
        root.problem(root.at(), message, "[bot.marvin]".to_owned());
    }
    let mut bots: Vec<BotConfig> = Vec::new();
    for (name, table) in tables {
        let place = table.at_key("prefix");
        let bot = bot(name, table, registry, catalog);
        for other in &bots {
            if let Some(room) = shared_room(other, &bot)
                && other.identity.conflicts_with(&bot.identity)
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

/// Returns a room that the account tables of both bots name; `None` if the bots have no common room.
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
        let message = "`prefix` must be one or more characters other than letters, digits and spaces, such as `!`";
        table.problem(&place, message, "prefix = \"!\"".to_owned());
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
    let reactions = choice(&mut table, "reactions", Reactions::NAMES);
    let signs = Signs { reactions, card_after: table.duration_or_default("card_after") };
    let unknown = choice(&mut table, "unknown", UnknownCommand::NAMES);
    let time_zone = freezes::time_zone(&mut table).unwrap_or(TimeZone::UTC);
    let identity = BotIdentity { name: name.value, prefix };
    let chats = chats(&identity, &mut table, registry);
    for factory in registry.chats.iter().filter(|factory| chats.iter().any(|chat| chat.network() == factory.network()))
    {
        if let Err(reason) = factory.check_prefix(&identity.prefix) {
            let message = format!("the prefix `{}` cannot be used on {}: {reason}", identity.prefix, factory.network());
            table.problem(&place, message, "prefix = \"!\"".to_owned());
        }
    }
    table.finish();
    BotConfig { identity, environments, environments_named, chats, max_age, signs, unknown, time_zone, at }
}

/// Reads a key whose value is one of the names in `choices`. Reports any other name, and returns the first value then.
fn choice<T: Copy>(table: &mut Table, key: &'static str, choices: [(&str, T); 3]) -> T {
    let place = table.at_key(key);
    let name = table.string_or_default(key);
    let known = choices.iter().find(|(known, _)| *known == name).map(|(_, value)| *value);
    if known.is_none() {
        let names = choices.map(|(name, _)| format!("`{name}`"));
        let message = format!("`{key}` must be one of {}", names.join(", "));
        table.problem(&place, message, format!("{key} = \"{}\"", choices[0].0));
    }
    known.unwrap_or(choices[0].1)
}

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
            let message = format!("this build does not include the adapter for {network}");
            table.problem(&table.at_key(network), message, format!("cargo build -p wardroom-cli --features {network}"));
            table.add_keys(&[Key::table(network, &TableKeys::NONE, "")]);
            let _ = table.table(network);
        }
    }
    if chats.is_empty() && table.problems().count() == before {
        let network = registry.chats.first().map_or("console", |factory| factory.network());
        let message = format!("[bot.{}] does not have an account on a chat network", identity.name);
        table.problem(table.at(), message, format!("[bot.{}.{network}]", identity.name));
    }
    chats
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_two_would_answer() {
        let bot = |name: &str, prefix: &str| BotIdentity { name: name.into(), prefix: prefix.into() };
        let share = |one: &BotIdentity, two: &BotIdentity| one.conflicts_with(two);
        assert!(share(&bot("marvin", "!"), &bot("bender", "!")));
        assert!(share(&bot("marvin", "!"), &bot("Marvin", "?")));
        assert!(!share(&bot("marvin", "!"), &bot("bender", "?")));
        assert!(!share(&bot("marvin", "!"), &bot("bender", "!!")));
    }
}
