//! The rows of messages: received messages (inbox), read cursors, and messages to send (outbox).
//!
//! Not here: the writes that change these rows ([`super::Write`]) and the functions that read the rows
//! ([`super::Store`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{base::Text, model::Person};

/// The unique key of a received message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxKey {
    /// The name of the chat network, for example `matrix`.
    pub network: String,
    /// The id of the room on the network.
    pub room: String,
    /// The id of the message on the network. For a command that a hook or schedule started, an id that the host
    /// creates, such as `hook/build/…`.
    pub event: String,
}

/// A received message that addresses a bot, or a command that a trigger started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// The network, the room and the id of the message. The store ignores another message with the same key.
    pub key: InboxKey,
    /// The name of the bot that received the message. Empty in rows of old versions, in which bots had no names.
    #[serde(default)]
    pub bot: String,
    /// The id of the first message of the thread that contains the message; `None` outside of threads.
    pub thread: Option<String>,
    /// The person who sent the message, or the identity under which a trigger's command runs.
    pub sender: Person,
    /// The text of the message without the bot's name or prefix; empty for a reaction.
    pub text: String,
    /// The time of sending, by the clock of the chat network. For a schedule or hook, the time at which the host
    /// started the command.
    pub at: Timestamp,
    /// Whether the message is in a direct-message room with the bot.
    pub direct: bool,
    /// The reaction; `None` for a message with text.
    pub reaction: Option<Reaction>,
    /// The reason why the sender's device is not verified, as text for the sender; `None` for a verified device or a
    /// network without devices.
    #[serde(default)]
    pub unproven: Option<String>,
    /// The trigger that started the command; `None` if a person typed the command.
    #[serde(default)]
    pub started: Option<TriggerSource>,
}

/// A trigger that started a command: an alias, a listen rule, a schedule or a hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSource {
    /// The configuration table and the name of the trigger, for example `hook build`.
    pub by: String,
    /// The words of the command, in order.
    pub words: Vec<GivenArgument>,
}

/// A word of a command that a trigger started.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GivenArgument {
    /// Text that the operator wrote in the configuration.
    Written(String),
    /// Text that the operator did not write, for example text from a webhook. It is a single argument, even if it
    /// contains spaces or quotation marks.
    Given {
        /// The operator's text in front of `text` in the same word. If the operator wrote `version={version}`, `before`
        /// is `version=`.
        before: String,
        /// The text that replaces the operator's placeholder, as the host received it.
        text: String,
    },
}

/// A reaction that a person gave or removed.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// The sender gave a reaction.
    Given {
        /// The id of the message that got the reaction.
        on: String,
        /// The emoji of the reaction, for example `👍`.
        emoji: String,
    },
    /// The sender removed a reaction.
    Withdrawn {
        /// The event id of the reaction which was removed. If the network does not report which reaction that is, the
        /// value can be the first part of the id, up to and including a `:`; the removal then applies to the reactions
        /// whose ids begin with this part.
        given: String,
    },
}

impl Reaction {
    /// Returns whether the removal of `given` ([`Reaction::Withdrawn`]) applies to the reaction with the id `event`.
    pub(crate) fn removes(given: &str, event: &str) -> bool {
        event == given || (given.ends_with(':') && event.starts_with(given))
    }
}

/// A read cursor: the position up to which a bot has read the messages of a room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RoomCursor {
    /// The name of the bot in `[bot.NAME]`. Empty in rows of old versions, in which bots had no names.
    #[serde(default)]
    pub bot: String,
    /// The name of the chat network, for example `matrix`.
    pub network: String,
    /// The id of the room on the network.
    pub room: String,
    /// The id of the last event that the bot has read. The inbox has all messages of the room up to this event. `None`
    /// if the bot has not read an event yet.
    pub event: Option<String>,
    /// The time of the message `event`, or the time at which the bot joined the room. The bot never handles messages
    /// from before this time.
    pub at: Timestamp,
}

/// The kind of a message that the host sends.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboxKind {
    /// A message that is sent once and never edited.
    Message,
    /// A status card: a message that shows the status of a job. The host edits the message when the status changes. The
    /// store keeps only the newest text.
    Card {
        /// Whether the job waits or has ended, so that the text stays the same for some time. On a network on which
        /// messages cannot be edited, the host sends the card only if `rest` is `true`.
        rest: bool,
    },
    /// The closing message of a job in the place of the job's status card: it replaces the text of the card, and is a
    /// message of its own if no card was sent. It has the key of the card. Used only on networks with edits.
    Closing,
    /// A reaction of the bot on a message.
    Reaction {
        /// The id of the message that gets the reaction.
        event: String,
        /// The emoji of the reaction, for example `👀`.
        emoji: String,
    },
}

impl OutboxKind {
    /// Returns whether the store keeps only the newest text of the message.
    pub fn is_card(&self) -> bool {
        matches!(self, Self::Card { .. } | Self::Closing)
    }
}

/// A row of the outbox: a message that the host has sent or will send.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// The unique key, usually the job's id and the purpose of the message: `7f3ak/card`. If the outbox already has a
    /// row with this key and both messages are status cards, the new text replaces the text of the row. If one of the
    /// messages is not a status card, the new message is ignored.
    pub key: String,
    /// The name of the bot that sends the message. Empty in rows of old versions, in which bots had no names.
    #[serde(default)]
    pub bot: String,
    /// The name of the chat network, for example `matrix`.
    pub network: String,
    /// The id of the room on the network, or the room's name in the configuration.
    pub room: String,
    /// The id of the first message of the thread that gets the message; `None` if the message goes to the room itself.
    pub thread: Option<String>,
    /// The kind of the message: a plain message, a status card or a reaction.
    pub purpose: OutboxKind,
    /// The text of the message; empty for a reaction.
    pub text: Text,
}

/// A message in the outbox whose newest text is not sent yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The message with its newest text.
    pub row: OutboxRow,
    /// The event id of the sent message that shows an earlier text and that must be edited. `None` if nothing was sent
    /// yet.
    pub event: Option<String>,
    /// The version of the text: 1 for the first text, plus 1 for each change of the text.
    pub version: u64,
}

/// Returns whether a schedule or hook started the command with this event id. No message on the network has such an id,
/// so the host can neither react to the command nor reply in its thread.
pub(crate) fn is_trigger_event(event: &str) -> bool {
    event.starts_with("schedule/") || event.starts_with("hook/")
}
