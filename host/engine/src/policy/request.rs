//! A command with its message and the rights of its sender: what a query or a job runs for.

use super::role::Rights;
use crate::{
    command::{Asker, Command},
    model::Person,
    store::InboxRow,
};

/// What a query or a job runs for. By itself it permits nothing: the gate judges every call of the run by [`Request::rights`].
/// A new run gets it from an [`Authorized`](super::Authorized) command, and a job that continues from
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

    /// The command.
    pub(crate) fn command(&self) -> &Command {
        &self.command
    }

    /// The message with the command.
    pub(crate) fn message(&self) -> &InboxRow {
        &self.message
    }

    /// The person who sent it.
    pub(crate) fn caller(&self) -> &Person {
        &self.message.sender
    }

    /// The person and the room, for further checks.
    pub(crate) fn asker(&self) -> Asker<'_> {
        Asker::from(&self.message)
    }

    /// The rights of the person when this was made.
    pub(crate) fn rights(&self) -> &Rights {
        &self.rights
    }
}
