//! What a message comes to, as a value.

use std::sync::Arc;

use crate::{base::Text, hostcall::Plugin, metrics::CommandOutcome, policy::Authorized, store::AuditRecord};

/// What a message comes to.
pub(crate) enum Verdict {
    /// A query that was run, or a command of the host: its words, and the line that it leaves.
    Answered(Text, Box<AuditRecord>),
    /// An order to the host, which was carried out: its words. They are on disk with what it changed, as are its line and
    /// the mark that the message is dealt with.
    CarriedOut(Text),
    /// An action that its caller may run.
    Action(Arc<Plugin>, Authorized),
    /// Nothing.
    Refused(Refusal),
}

/// Why a message is answered with a refusal.
pub(crate) enum Refusal {
    /// It is no command.
    Malformed(String),
    /// It is one, and not for this person or not now.
    Denied(String),
    /// It came too late.
    Late(String),
    /// It is a good command that cannot be done now.
    Unable(String),
}

impl Verdict {
    /// The same as a word.
    pub(crate) fn became(&self) -> CommandOutcome {
        match self {
            Self::Answered(..) => CommandOutcome::Answered,
            Self::CarriedOut(_) => CommandOutcome::CarriedOut,
            Self::Action(..) => CommandOutcome::Started,
            Self::Refused(refusal) => refusal.became(),
        }
    }
}

impl Refusal {
    /// The same as a word.
    pub(crate) fn became(&self) -> CommandOutcome {
        match self {
            Self::Malformed(_) => CommandOutcome::Malformed,
            Self::Denied(_) => CommandOutcome::Denied,
            Self::Late(_) => CommandOutcome::Late,
            Self::Unable(_) => CommandOutcome::Unable,
        }
    }
}
