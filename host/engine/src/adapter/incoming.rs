//! A message as an adapter read it.

use jiff::Timestamp;

use crate::{model::Person, store::Reaction};

/// A message as an adapter read it: a person's own new words, never an edit, a notice or our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The network's id of it.
    pub event: String,
    /// The root of the thread that it stands in, if any.
    pub thread: Option<String>,
    /// Who wrote it.
    pub sender: Person,
    /// The words, without quoted text and code blocks.
    pub text: String,
    /// What it says of another message, where it is no message of its own.
    pub reaction: Option<Reaction>,
    /// When, by the network's clock.
    pub at: Timestamp,
    /// Whether nobody else is in the room, so that no prefix is needed.
    pub direct: bool,
    /// Whether it was read back, and did not come as it was sent: only such a one can be too old to be handled.
    pub late: bool,
    /// Whether its sender is an automaton by the network's own marks (a bot, a notice). It is left unless the
    /// configuration lists that machine.
    pub machine: bool,
    /// What the message is called where the network could bring the same again as another event; the name is taken once.
    pub once: Option<String>,
    /// Why the device that it came from is not proven to be its sender's, in words for them; acting commands are refused then.
    pub unproven: Option<String>,
}

impl Incoming {
    /// A message that arrived as it was sent: no thread, no reaction, not direct, not late, not from a machine.
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
            once: None,
            unproven: None,
        }
    }
}

/// How far a room was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// The newest event up to which everything is in the inbox; `None` until there was one.
    pub event: Option<String>,
    /// Nothing older than this moment is ever handled: when the bot entered, and later that event's time.
    pub at: Timestamp,
}
