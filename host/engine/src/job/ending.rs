//! How a job's guest ended, as its journal holds it.

use serde::{Deserialize, Serialize};

/// How a plugin ended, as it stands in the journal.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GuestOutcome {
    /// How.
    pub(crate) end: GuestEndKind,
    /// What it said, or why it was ended.
    pub(crate) text: String,
    /// A failure's code.
    pub(crate) code: String,
    /// Whether it says that something went less well than it should.
    pub(crate) warnings: bool,
    /// What the rules refused it.
    pub(crate) denied: Vec<Denied>,
    /// Whether a call that changes anything was allowed.
    pub(crate) acted: bool,
}

impl GuestOutcome {
    /// The end of a plugin that is not run again, because its job was called off.
    pub(crate) fn called_off(text: String) -> Self {
        let code = "cancelled".to_owned();
        Self { end: GuestEndKind::Failure, text, code, warnings: false, denied: Vec::new(), acted: false }
    }
}

/// The ways in which a plugin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestEndKind {
    /// It did its work.
    Reply,
    /// It says that it did not.
    Failure,
    /// It reached a limit.
    Limit,
    /// It broke.
    Trap,
}

/// A call that was refused, for the room.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Denied {
    /// The call's name.
    pub call: String,
    /// What it was about: `cms/production version 1.0.2`.
    pub about: String,
    /// Everything that stands in its way.
    pub reasons: Vec<Reason>,
}

impl Denied {
    /// The reasons in one line.
    pub fn texts(&self) -> String {
        let texts: Vec<&str> = self.reasons.iter().map(|reason| reason.text.as_str()).collect();
        texts.join("; ")
    }
}

/// Why a call is refused.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// A short stable word: `query`, `grant`, `typed`, `role`, `bot`, `owner`, `limit`, `freeze`, `order`, `direct`, `approval`,
    /// `override`.
    pub kind: String,
    /// One line that names the rule.
    pub text: String,
    /// The rule to add, if the operator wants to allow it.
    pub add: Option<String>,
}
