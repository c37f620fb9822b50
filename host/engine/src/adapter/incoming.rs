//! A message as an adapter received it.

use jiff::Timestamp;

use crate::{model::Person, store::Reaction};

/// A new message of a person. Never an edit, a notice, or a message of the bot itself.
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
    /// The event id.
    pub event: String,
    /// The root event of its thread, if it is in one.
    pub thread: Option<String>,
    /// The person who sent it.
    pub sender: Person,
    /// The text without quotes and code blocks.
    pub text: String,
    /// The reaction, if the message is one.
    pub reaction: Option<Reaction>,
    /// The time of sending, by the network's clock.
    pub at: Timestamp,
    /// Whether the room is a direct message, where commands need no prefix.
    pub direct: bool,
    /// Whether it was received by backfill. Only such messages can be too old to be handled.
    pub late: bool,
    /// Whether the network marks its sender as automatic (a bot, a notice). Such messages are ignored unless the
    /// configuration lists the sender as a machine.
    pub machine: bool,
    /// The deduplication key, if the network can deliver the same message again with another event id.
    pub deduplication_key: Option<String>,
    /// Why the sending device is not verified, as text for the sender. Acting commands are then refused.
    pub unproven: Option<String>,
}

impl Incoming {
    /// Creates a message: no thread, no reaction, not direct, not late, not from a machine.
    pub fn new(event: impl Into<String>, sender: Person, text: impl Into<String>, at: Timestamp) -> Self {
        Self {
            event: event.into(),
            thread: None,
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

/// A position in a room up to which messages were read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The newest event up to which all messages are in the inbox; `None` before the first one.
    pub event: Option<String>,
    /// The lower bound in time: older messages are never handled. First the time at which the bot joined, then the
    /// event's time.
    pub at: Timestamp,
}
