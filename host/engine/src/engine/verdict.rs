//! The result of deciding a message, before it is written or sent.

use std::sync::Arc;

use crate::{base::Text, hostcall::Plugin, metrics::CommandOutcome, policy::Authorized, store::AuditRecord};

/// The result of deciding a message.
pub(crate) enum Verdict {
    /// The answer of a query or of a host command that changes nothing, with its audit record.
    Answered(Text, Box<AuditRecord>),
    /// The answer of a host command that changed something. The answer, the audit record and the mark that the message
    /// is handled are already stored, in the transaction of the change.
    CarriedOut(Text),
    /// An action that its caller may run.
    Action(Arc<Plugin>, Authorized),
    /// A refusal. Nothing was done.
    Refused(Refusal),
}

/// The reason for a refusal, as text for the sender.
pub(crate) enum Refusal {
    /// The line is not a valid command.
    Malformed(String),
    /// The command is valid and not permitted: to this person, in this room or at this time.
    Denied(String),
    /// The message was older than the bot's `max_age` when it was handled.
    Late(String),
    /// The command is valid and permitted, but cannot run now, for example because the store is unavailable.
    Unable(String),
}

impl Verdict {
    /// The outcome for the metrics.
    pub(crate) fn outcome(&self) -> CommandOutcome {
        match self {
            Self::Answered(..) => CommandOutcome::Answered,
            Self::CarriedOut(_) => CommandOutcome::CarriedOut,
            Self::Action(..) => CommandOutcome::Started,
            Self::Refused(refusal) => refusal.outcome(),
        }
    }
}

impl Refusal {
    /// The outcome for the metrics.
    pub(crate) fn outcome(&self) -> CommandOutcome {
        match self {
            Self::Malformed(_) => CommandOutcome::Malformed,
            Self::Denied(_) => CommandOutcome::Denied,
            Self::Late(_) => CommandOutcome::Late,
            Self::Unable(_) => CommandOutcome::Unable,
        }
    }
}
