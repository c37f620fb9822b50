//! The sender of a command: the person, and the bot and the room of the message.
//!
//! Invariant: a role that is limited to some rooms does not count for an [`Asker`] without a room.
//! Not here: the sender's display name ([`Person`]), which has no influence on rights.

use crate::{model::Person, store::InboxRow};

/// The sender of a command, with the bot and the room of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Asker<'a> {
    /// The person's id on the chat network: `@bob:example.org`.
    pub id: &'a str,
    /// The name of the bot that received the message. With a name, a role that was granted through another bot does not
    /// count. With `None`, a role that was granted through any bot counts.
    pub bot: Option<&'a str>,
    /// The network and the room id of the message; `None` if the person is checked outside a room.
    pub room: Option<(&'a str, &'a str)>,
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
