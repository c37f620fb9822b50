//! The result of evaluating a message: a reply, a permitted action or a refusal.

use std::sync::Arc;

use crate::{base::Text, hostcall::Plugin, metrics::CommandOutcome, policy::Authorized, store::AuditRecord};

/// The result for a message that is not refused.
pub(crate) enum Verdict {
    /// The answer of a query, or of a host command that changed nothing, with its audit record.
    Answered(Text, Box<AuditRecord>),
    /// The reply of a host command that changed something. The transaction of the change has stored the reply and the
    /// audit record, and has marked the message as handled.
    CarriedOut(String),
    /// An action that its caller may run. The action's job is not created yet.
    Action(Arc<Plugin>, Authorized),
}

/// A refused command, with the message for the sender. Nothing was changed.
pub(crate) enum Refusal {
    /// The line does not begin with a command.
    Unknown(String),
    /// The line is not a valid command.
    Malformed(String),
    /// The command is valid, but the rules forbid it for this person, in this room or at this time.
    Denied(String),
    /// The message is older than the bot's `max_age`.
    Late(String),
    /// The command is valid and permitted, but failed, for example because the store is unavailable.
    Unable(String),
}

impl Refusal {
    /// Returns the outcome for the metrics, the emoji of the bot's reaction, and the message for the sender.
    pub(crate) fn into_parts(self) -> (CommandOutcome, &'static str, String) {
        match self {
            Self::Unknown(message) | Self::Malformed(message) => (CommandOutcome::Malformed, "❓", message),
            Self::Denied(message) => (CommandOutcome::Denied, "⛔", message),
            Self::Late(message) => (CommandOutcome::Late, "⌛", message),
            Self::Unable(message) => (CommandOutcome::Unable, "⚠️", message),
        }
    }
}
