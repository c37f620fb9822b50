//! The identity of a bot, for its adapters.

/// The identity of a bot, as its adapters receive it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotIdentity {
    /// The name in `[bot.NAME]`.
    pub name: String,
    /// The prefix of commands, for example `!`.
    pub prefix: String,
}

impl BotIdentity {
    /// Whether a message could address both bots.
    pub(crate) fn shares_lines_with(&self, other: &Self) -> bool {
        let longer = |one: &str, two: &str| {
            // `!` and `!!` do not conflict: a prefix must be followed by a letter or digit.
            one.strip_prefix(two).is_some_and(|rest| rest.chars().next().is_none_or(char::is_alphanumeric))
        };
        self.name.eq_ignore_ascii_case(&other.name)
            || longer(&self.prefix, &other.prefix)
            || longer(&other.prefix, &self.prefix)
    }
}
