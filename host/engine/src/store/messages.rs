//! Messages as they are kept: what came in, how far each room was read, what is to be sent.
//!
//! Plain data. Not here: how it changes ([`super::Write`]) and how it is read ([`super::Store`]).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::{base::Text, model::Person};

/// Names a message for ever.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct InboxKey {
    /// The network's name.
    pub network: String,
    /// The room's id on it.
    pub room: String,
    /// The event's id in it.
    pub event: String,
}

/// A message that was addressed to the bot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct InboxRow {
    /// Its name.
    pub key: InboxKey,
    /// The identity that it was addressed to, by its name in the configuration; empty in rows of the time when a host had
    /// one only.
    #[serde(default)]
    pub bot: String,
    /// The root of the thread that it stands in, if any.
    pub thread: Option<String>,
    /// Who wrote it.
    pub sender: Person,
    /// What was written, without the address.
    pub text: String,
    /// When it was sent, by the network's clock.
    pub at: Timestamp,
    /// Whether nobody else is in the room.
    pub direct: bool,
    /// What it says of another message, where it is no message of its own; its text is empty then.
    pub reaction: Option<Reaction>,
    /// Why the device that it came from is not proven to be its sender's, in words for them; `None` where nothing is wrong.
    #[serde(default)]
    pub unproven: Option<String>,
    /// What set it off where nobody typed it.
    #[serde(default)]
    pub started: Option<TriggerSource>,
}

/// What sets a command off that nobody types: a hook or a schedule of the configuration.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TriggerSource {
    /// Its table and name: `hook build`.
    pub by: String,
    /// The words of the command.
    pub words: Vec<GivenArgument>,
}

/// One word of a command that nobody typed as a whole.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum GivenArgument {
    /// What the operator wrote.
    Written(String),
    /// What somebody else gave: one argument, whatever is in it.
    Given {
        /// What stands before it in its word, written by the operator: `version=`.
        before: String,
        /// The text.
        text: String,
    },
}

/// An emoji on a message, put there or taken away.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// Somebody put it there.
    Given {
        /// The event that it is on.
        on: String,
        /// The emoji itself.
        emoji: String,
    },
    /// It was taken away, by whoever sent this.
    Withdrawn {
        /// The event that gave it.
        given: String,
    },
}

/// How far a room was read.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Mark {
    /// The identity that read it.
    #[serde(default)]
    pub bot: String,
    /// The network's name.
    pub network: String,
    /// The room's id on it.
    pub room: String,
    /// The newest event up to which everything is in the inbox; `None` until there was one.
    pub event: Option<String>,
    /// Nothing older than this moment is ever handled: when the bot entered, and later that event's time.
    pub at: Timestamp,
}

/// What a row of the outbox is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum OutboxKind {
    /// A message, sent once.
    Message,
    /// A status card: one message, edited while its text changes. Only the newest text is kept.
    Card {
        /// Whether the job is at rest, which is when a network without edits shows the card.
        rest: bool,
    },
    /// An emoji on the event named.
    Reaction {
        /// The event it is put on.
        event: String,
        /// The emoji.
        emoji: String,
    },
}

/// Something to be sent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OutboxRow {
    /// Job and purpose, for example `7f3a/card`. A second row under a key replaces the first if it is a
    /// card, and is ignored if it is not.
    pub key: String,
    /// The identity that says it; empty in rows of the time when a host had one only.
    #[serde(default)]
    pub bot: String,
    /// The network's name.
    pub network: String,
    /// The room's id, or what the configuration calls it.
    pub room: String,
    /// The thread it belongs to.
    pub thread: Option<String>,
    /// What it is.
    pub purpose: OutboxKind,
    /// The words; empty for a reaction.
    pub text: Text,
}

/// A row of the outbox with what became of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingRow {
    /// The row.
    pub row: OutboxRow,
    /// The network's id of the message, where an earlier text of this card was sent.
    pub event: Option<String>,
    /// Counts the texts of this row, from 1.
    pub version: u64,
}

/// Whether an event is one of these: nothing can be put below it or on it.
pub(crate) fn is_announced(event: &str) -> bool {
    EVENTS.iter().any(|begin| event.starts_with(begin))
}

/// What the events begin with that are on no network.
pub(crate) const EVENTS: [&str; 2] = ["schedule/", "hook/"];
