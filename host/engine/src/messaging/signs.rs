//! What a bot sends besides the messages for which people wait: reactions, status cards, and answers to unknown
//! commands.

use std::time::Duration;

use super::{accounts::Account, outbox::Outbox};
use crate::{
    base::Text,
    job::{emoji, reaction},
    store::{InboxRow, JobOutcome, JobRow, Write},
};

/// The maximum length of a closing message that replaces a status card, in bytes. A longer one is a message of its own,
/// because a long message may need a file, which an edit cannot add.
const MAX_EDIT_LENGTH: usize = 4_000;

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

impl Account {
    /// Returns whether the bot acknowledges an action with a reaction.
    pub(crate) fn acknowledges(&self) -> bool {
        self.signs.reactions != Reactions::None && self.chat.features().reactions
    }
}

impl Outbox {
    /// Returns the account that sends the messages of a job to the job's room.
    fn account_of_job(&self, row: &JobRow) -> Option<&Account> {
        self.account(&row.bot, &row.inbox.network)
    }

    /// Returns the time after which a job gets a status card, from the moment at which it runs. The card is sent at once
    /// if nothing else acknowledges the command.
    pub(crate) fn card_after(&self, row: &JobRow) -> Duration {
        match self.account_of_job(row) {
            Some(account) if account.acknowledges() => account.signs.card_after,
            _ => Duration::ZERO,
        }
    }

    /// Returns whether the closing message of a job takes the place of the job's status card. An edit notifies nobody,
    /// so only the closing message of a success does, if it is short enough for an edit.
    pub(crate) fn closes_in_card(&self, row: &JobRow, outcome: JobOutcome, text: &Text) -> bool {
        let edits = self.account_of_job(row).is_some_and(|account| account.chat.features().edits);
        edits && outcome == JobOutcome::Succeeded && text.plain().len() <= MAX_EDIT_LENGTH
    }

    /// Returns the reaction for the outcome of a job on the message that started it, if the bot adds such reactions. A
    /// job that another job scheduled has no such message.
    pub(crate) fn outcome_reaction(&self, row: &JobRow, outcome: JobOutcome) -> Option<Write> {
        let adds = self.account_of_job(row).is_some_and(|account| account.signs.reactions == Reactions::All);
        (adds && row.parent.is_none()).then(|| Write::Send(reaction(row, emoji(outcome))))
    }

    /// Returns whether the network of a message has reactions.
    pub(crate) fn has_reactions(&self, message: &InboxRow) -> bool {
        self.chat(&message.bot, &message.key.network).is_some_and(|chat| chat.features().reactions)
    }

    /// Returns whether the bot adds a reaction for the outcome of a command.
    pub(crate) fn reacts_to_outcomes(&self, message: &InboxRow) -> bool {
        let account = self.account(&message.bot, &message.key.network);
        account.is_some_and(|account| account.signs.reactions == Reactions::All)
    }
}
