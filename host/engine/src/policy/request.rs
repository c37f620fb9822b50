//! The request that a query or a job executes: the command, the message with the command, and the rights of the sender.

use super::role::Rights;
use crate::{
    command::{Asker, Command},
    model::Person,
    store::InboxRow,
};

/// A command, its message, and the rights of the sender. A request by itself permits nothing: each host call of the
/// query or job is checked against [`Request::rights`]. A new query or job gets its request from an
/// [`Authorized`](super::Authorized) command, and a job that continues gets its request from
/// [`Access::resume`](super::Access::resume).
#[derive(Debug)]
pub(crate) struct Request {
    command: Command,
    message: InboxRow,
    rights: Rights,
}

impl Request {
    pub(super) fn new(command: Command, message: InboxRow, rights: Rights) -> Self {
        Self { command, message, rights }
    }

    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    pub(crate) fn message(&self) -> &InboxRow {
        &self.message
    }

    pub(crate) fn caller(&self) -> &Person {
        &self.message.sender
    }

    /// Returns the sender with the bot and the room of the message.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker::from(&self.message)
    }

    /// Returns the sender's rights at the time when the request was created.
    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }
}
