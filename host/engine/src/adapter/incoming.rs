//! The messages that a chat adapter receives, and the position up to which the adapter has read a room.

use jiff::Timestamp;

use crate::{model::Person, store::Reaction};

/// A new message or reaction. An adapter does not deliver edits or the bot's own messages.
///
/// ```
/// use wardroom::prelude::*;
///
/// let sender = Person::named_by_id("@bob:example.org");
/// let message = Incoming::new("$1", sender, "!deploy cms staging 1.0.2", Timestamp::now());
/// assert!(!message.direct && !message.late);
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Incoming {
    /// The event id of the message.
    pub event: String,
    /// The id of the first message of the thread; `None` outside of a thread.
    pub thread: Option<String>,
    /// The id of the message to which this message replies; `None` if it is no reply, and on a network whose replies are
    /// threads.
    pub reply_to: Option<String>,
    /// The person or program that sent the message.
    pub sender: Person,
    /// The text of the message without quoted lines and code blocks; empty for a reaction.
    pub text: String,
    /// The reaction; `None` for a text message.
    pub reaction: Option<Reaction>,
    /// The time at which the message was sent, by the network's clock.
    pub at: Timestamp,
    /// Whether the room is a direct conversation with the bot. In a direct conversation, commands need no prefix.
    pub direct: bool,
    /// Whether the adapter received the message by backfill: it read the message from the room's history, for example
    /// after an outage. The engine refuses a backfilled message that is older than the bot's `max_age`.
    pub late: bool,
    /// Whether a program sent the message, for example another bot. The engine ignores such a message unless a
    /// `[machine.NAME]` table in the configuration lists the sender.
    pub machine: bool,
    /// The deduplication key, for a network that can deliver the same message under several event ids; otherwise
    /// `None`.
    pub deduplication_key: Option<String>,
    /// The reason why the sender's device is not verified, as text for the sender; `None` if the device is verified.
    /// The engine refuses the actions of an unverified device.
    pub unproven: Option<String>,
}

impl Incoming {
    /// Creates a text message outside of a thread. The flags `direct`, `late` and `machine` are `false`.
    pub fn new(event: impl Into<String>, sender: Person, text: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event: event.into(),
            thread: None,
            reply_to: None,
            sender,
            text: text.into(),
            reaction: None,
            at,
            direct: false,
            late: false,
            machine: false,
            deduplication_key: None,
            unproven: None,
        }
    }
}

/// A read cursor: the position up to which an adapter has read a room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The id of the newest event that the adapter has read. The inbox has received all messages of the room up to this
    /// event. `None` before the first event.
    pub event: Option<String>,
    /// The time of the message `event`. Before the first message, the time at which the bot joined the room. The engine
    /// never handles messages from before this time.
    pub at: Timestamp,
}
