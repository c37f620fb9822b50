//! `[bot.NAME.console]`: the person who types.

use wardroom::{
    base::{Key, Table, TableKeys},
    model::BotIdentity,
};

use crate::convert;

/// `[bot.NAME.console]`.
pub(crate) static KEYS: TableKeys = TableKeys {
    path: "bot.NAME.console",
    about: "The console: standard input and output of the host, as a room with one person. One bot can have it.",
    keys: &[Key::string("user", "The id of the person who types.").required()],
};

/// The console of one bot.
#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// The id of the person who types.
    pub(crate) user: String,
}

impl Config {
    /// Reads the table; `None` where it has problems, which are added to the table's list. `taken`: another bot has the console.
    pub(crate) fn read(bot: &BotIdentity, table: &mut Table, taken: bool) -> Option<Self> {
        let user = table.required_string("user", "\"operator\"")?;
        if taken {
            let at = table.at().clone();
            let message = "two bots have a console table, and there is one standard input";
            table.problem(&at, message, "leave out this table".to_owned());
            return None;
        }
        if !convert::is_person_id(&user.value) {
            let message = format!("`{}.user` is `{}`, which is no person's id", table.path(), user.value);
            table.problem(&user.at, message, "user = \"operator\"".to_owned());
            return None;
        }
        Some(Self { bot: bot.name.clone(), user: user.value })
    }
}
