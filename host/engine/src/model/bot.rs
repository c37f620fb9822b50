//! The identity of a bot: its name and command prefix.

/// The name and command prefix of a bot. The engine passes this identity to each chat adapter of the bot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotIdentity {
    /// The bot's name in `[bot.NAME]`, for example `marvin`.
    pub name: String,
    /// The prefix of commands, for example `!`.
    pub prefix: String,
}

impl BotIdentity {
    /// Returns whether one message could address both bots: their names are equal, or one prefix begins with the other.
    pub(crate) fn conflicts_with(&self, other: &Self) -> bool {
        let longer = |one: &str, two: &str| {
            // `!` and `!!` do not conflict, because a letter or digit must follow a prefix.
            one.strip_prefix(two).is_some_and(|rest| rest.chars().next().is_none_or(char::is_alphanumeric))
        };
        self.name.eq_ignore_ascii_case(&other.name)
            || longer(&self.prefix, &other.prefix)
            || longer(&other.prefix, &self.prefix)
    }
}
