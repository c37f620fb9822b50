//! The rows of messages: inbox, read cursors, outbox.
//!
//! Plain data. Not here: changing it ([`super::Write`]) and reading it ([`super::Store`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{base::Text, model::Person};

/// The unique key of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxKey {
    /// The network's name.
    pub network: String,
    /// The room's id on the network.
    pub room: String,
    /// The event's id in the room.
    pub event: String,
}

/// A stored message that addressed a bot or triggered a command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// The unique key of the message.
    pub key: InboxKey,
    /// The name of the bot that received it. Empty in rows from before bots had names.
    #[serde(default)]
    pub bot: String,
    /// The root event of the message's thread, if it is in one.
    pub thread: Option<String>,
    /// The person who sent it.
    pub sender: Person,
    /// The text without the address.
    pub text: String,
    /// The time at which it was sent, by the network's clock.
    pub at: Timestamp,
    /// Whether the room is a direct message.
    pub direct: bool,
    /// The reaction, if the message is one; the text is then empty.
    pub reaction: Option<Reaction>,
    /// Why the sending device is not verified, as text for the sender; `None` if it is.
    #[serde(default)]
    pub unproven: Option<String>,
    /// The trigger, if nobody typed the command.
    #[serde(default)]
    pub started: Option<TriggerSource>,
}

/// The trigger of a command that nobody typed: an alias, a listen rule, a schedule or a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSource {
    /// The table and name of the trigger: `hook build`.
    pub by: String,
    /// The words of the command.
    pub words: Vec<GivenArgument>,
}

/// A word of a triggered command.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GivenArgument {
    /// Text of the operator.
    Written(String),
    /// Text from outside. It is always a single argument, whatever it contains.
    Given {
        /// The operator's text before it in the same word, for example `version=`.
        before: String,
        /// The text from outside.
        text: String,
    },
}

/// A reaction on a message, given or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// A person gave a reaction.
    Given {
        /// The event that it is on.
        on: String,
        /// The emoji.
        emoji: String,
    },
    /// The sender removed a reaction.
    Withdrawn {
        /// The event of the removed reaction.
        given: String,
    },
}

/// The position up to which a bot has read a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCursor {
    /// The bot's name.
    #[serde(default)]
    pub bot: String,
    /// The network's name.
    pub network: String,
    /// The room's id on the network.
    pub room: String,
    /// The newest event up to which all messages are in the inbox; `None` before the first one.
    pub event: Option<String>,
    /// The lower bound in time: older messages are never handled. First the time at which the bot joined, then the
    /// event's time.
    pub at: Timestamp,
}

/// The kind of an outbox row.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboxKind {
    /// A message, sent once.
    Message,
    /// A status card: one message that is edited when its text changes. Only the newest text is stored.
    Card {
        /// Whether the job waits or has ended. Networks without edits send the card only then.
        rest: bool,
    },
    /// A reaction.
    Reaction {
        /// The event that it is put on.
        event: String,
        /// The emoji.
        emoji: String,
    },
}

/// A message to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The unique key: job and purpose, for example `7f3a/card`. A second row with the same key replaces a card and is
    /// otherwise ignored.
    pub key: String,
    /// The bot that sends it. Empty in rows from before bots had names.
    #[serde(default)]
    pub bot: String,
    /// The network's name.
    pub network: String,
    /// The room's id, or its name in the configuration.
    pub room: String,
    /// The thread to send it to.
    pub thread: Option<String>,
    /// Whether it is a message, a card or a reaction.
    pub purpose: OutboxKind,
    /// The text; empty for a reaction.
    pub text: Text,
}

/// An outbox row that is not sent yet, or not in its newest version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The row.
    pub row: OutboxRow,
    /// The event id of the message, if an earlier version of this card was sent.
    pub event: Option<String>,
    /// The version of the text, from 1.
    pub version: u64,
}

/// Whether an event id belongs to a triggered command. Such an event is on no network: it has no thread and no
/// reactions.
pub(crate) fn is_announced(event: &str) -> bool {
    EVENTS.iter().any(|begin| event.starts_with(begin))
}

/// The prefixes of the event ids of triggered commands.
pub(crate) const EVENTS: [&str; 2] = ["schedule/", "hook/"];
