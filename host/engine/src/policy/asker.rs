//! Who asks for something: an id of a network, and where they ask.
//!
//! Invariant: whoever is asked about without a room has no right that counts only in some rooms.
//! Not here: what people call themselves, on which nothing hangs.

use crate::{model::Person, store::InboxRow};

/// Somebody, and where they ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asker<'a> {
    /// The network's own id.
    pub id: &'a str,
    /// The identity that they ask through; `None` where there is none, and what was granted through any of them counts.
    pub bot: Option<&'a str>,
    /// The network and the room of what they typed; `None` where there is no room.
    pub room: Option<(&'a str, &'a str)>,
}

impl<'a> Asker<'a> {
    /// The same room with somebody else in it.
    #[must_use]
    pub fn named(self, id: &'a str) -> Self {
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
