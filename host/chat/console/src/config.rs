//! Reads the configuration table `[bot.NAME.console]`.

use wardroom::{
    base::{Key, Table, TableKeys},
    model::BotIdentity,
};

use crate::convert;

pub(crate) static KEYS: TableKeys = TableKeys {
    path: "bot.NAME.console",
    about: "The console: the host's standard input and output as a room with one person. Only one bot can have a \
            console.",
    keys: &[Key::string("user", "The id of the person at the console, for example `operator`.").required()],
};

#[derive(Debug, Clone)]
pub(crate) struct Config {
    /// The bot's name in `plugins.toml`.
    pub(crate) bot: String,
    /// The id of the person at the console.
    pub(crate) user: String,
}

impl Config {
    /// Reads the table. `taken` is true if another bot has a console already. Returns `None` and adds a configuration
    /// problem to the table if `taken` is true, or if `user` is missing or invalid.
    pub(crate) fn read(bot: &BotIdentity, table: &mut Table, taken: bool) -> Option<Self> {
        let user = table.required_string("user", "\"operator\"")?;
        if taken {
            let at = table.at().clone();
            let message = "two bots have a table `[bot.NAME.console]`, but the host has only one standard input; remove one of the \
                 two tables";
            table.problem(&at, message, None);
            return None;
        }
        if !convert::is_person_id(&user.value) {
            let message = format!(
                "`{}.user` is `{}`, which is not a valid id of a person (at most 255 bytes, no white space, and not \
                 `everyone`)",
                table.path(),
                user.value
            );
            table.problem(&user.at, message, "user = \"operator\"".to_owned());
            return None;
        }
        Some(Self { bot: bot.name.clone(), user: user.value })
    }
}
