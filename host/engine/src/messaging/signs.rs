//! What a bot sends besides the messages for which people wait: reactions, status cards, and answers to unknown commands.

use std::time::Duration;

/// The signs of a bot that accompany its messages: reactions and status cards.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Signs {
    pub(crate) reactions: Reactions,
    /// The time after which a running job gets a status card.
    pub(crate) card_after: Duration,
}

impl Default for Signs {
    fn default() -> Self {
        Self { reactions: Reactions::Seen, card_after: Duration::from_secs(2) }
    }
}

/// The reactions that a bot adds to commands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reactions {
    /// None.
    None,
    /// A reaction that acknowledges each action.
    Seen,
    /// Also a reaction for the outcome of each command, which the bot's message says in words.
    All,
}

impl Reactions {
    /// The values by their names in the configuration; the first is the default.
    pub(crate) const NAMES: [(&str, Self); 3] = [("seen", Self::Seen), ("all", Self::All), ("none", Self::None)];
}

/// The answer of a bot to a message in a room that addresses the bot and is not a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) enum UnknownCommand {
    /// A message with a suggestion.
    #[default]
    Answer,
    /// Only a reaction; a message on a network without reactions.
    React,
    /// None, because another bot of the room may have the command.
    Ignore,
}

impl UnknownCommand {
    /// The values by their names in the configuration; the first is the default.
    pub(crate) const NAMES: [(&str, Self); 3] =
        [("answer", Self::Answer), ("react", Self::React), ("ignore", Self::Ignore)];
}
