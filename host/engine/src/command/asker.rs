//! The person who sends a command, and the room and bot that they use.
//!
//! Invariant: without a room, roles that count only in some rooms do not count.
//! Not here: display names. No right depends on them.

use crate::{model::Person, store::InboxRow};

/// A person, with the bot and the room of their message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker<'a> {
    /// The network's id of the person.
    pub id: &'a str,
    /// The bot that received the message. `None` counts roles granted through any bot.
    pub bot: Option<&'a str>,
    /// The network and room of the message; `None` without a room.
    pub room: Option<(&'a str, &'a str)>,
}

impl<'a> Asker<'a> {
    /// The same bot and room with another person.
    #[must_use]
    pub(crate) fn named(self, id: &'a str) -> Self {
        Self { id, ..self }
    }
}

impl<'a> From<&'a str> for Asker<'a> {
    fn from(id: &'a str) -> Self {
        Self { id, bot: None, room: None }
    }
}

impl<'a> From<&'a String> for Asker<'a> {
    fn from(id: &'a String) -> Self {
        Self { id, bot: None, room: None }
    }
}

impl<'a> From<&'a Person> for Asker<'a> {
    fn from(person: &'a Person) -> Self {
        Self { id: &person.id, bot: None, room: None }
    }
}

impl<'a> From<&'a InboxRow> for Asker<'a> {
    fn from(message: &'a InboxRow) -> Self {
        Self { id: &message.sender.id, bot: Some(&message.bot), room: Some((&message.key.network, &message.key.room)) }
    }
}
