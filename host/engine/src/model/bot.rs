//! The identity that an account speaks for.

/// What an adapter needs to know of the identity that it speaks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BotIdentity {
    /// The name in `[bot.NAME]`.
    pub name: String,
    /// What stands before a command.
    pub prefix: String,
}

impl BotIdentity {
    /// Whether some line is addressed to this identity and to another one alike.
    pub(crate) fn shares_lines_with(&self, other: &Self) -> bool {
        let longer = |one: &str, two: &str| {
            // `!` and `!!` differ: what follows a prefix is a word.
            one.strip_prefix(two).is_some_and(|rest| rest.chars().next().is_none_or(char::is_alphanumeric))
        };
        self.name.eq_ignore_ascii_case(&other.name)
            || longer(&self.prefix, &other.prefix)
            || longer(&other.prefix, &self.prefix)
    }
}
