//! What a message comes to, as a value.

use std::sync::Arc;

use crate::{base::Text, metrics::Became, plugin::LoadedPlugin, policy::Authorized, store::Line};

/// What a message comes to.
pub(crate) enum Verdict {
    /// A query that was run, or a command of the host: its words, and the line that it leaves.
    Answered(Text, Box<Line>),
    /// An order to the host, which was carried out: its words. They are on disk with what it changed, as are its line and
    /// the mark that the message is dealt with.
    CarriedOut(Text),
    /// An action that its caller may run.
    Action(Arc<LoadedPlugin>, Arc<Authorized>),
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
    pub(crate) fn became(&self) -> Became {
        match self {
            Self::Answered(..) => Became::Answered,
            Self::CarriedOut(_) => Became::CarriedOut,
            Self::Action(..) => Became::Started,
            Self::Refused(refusal) => refusal.became(),
        }
    }
}

impl Refusal {
    /// The same as a word.
    pub(crate) fn became(&self) -> Became {
        match self {
            Self::Malformed(_) => Became::Malformed,
            Self::Denied(_) => Became::Denied,
            Self::Late(_) => Became::Late,
            Self::Unable(_) => Became::Unable,
        }
    }
}
