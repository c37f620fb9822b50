//! The result of a job's guest, as its `End` entry stores it.

use serde::{Deserialize, Serialize};

/// The result of a guest, as the journal stores it.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GuestOutcome {
    pub(crate) end: GuestEndKind,
    /// The guest's reply, or the reason why it was stopped.
    pub(crate) text: String,
    /// The code of a failure; empty otherwise.
    pub(crate) code: String,
    /// Whether the guest reported a success with warnings.
    pub(crate) warnings: bool,
    /// The calls that the rules denied.
    pub(crate) denied: Vec<Denied>,
    /// Whether at least one acting call was allowed.
    pub(crate) acted: bool,
}

impl GuestOutcome {
    /// The result of a guest that is not run again because its job was cancelled.
    pub(crate) fn cancelled(text: String) -> Self {
        let code = "cancelled".to_owned();
        Self { end: GuestEndKind::Failure, text, code, warnings: false, denied: Vec::new(), acted: false }
    }
}

/// The ways in which a guest ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestEndKind {
    /// It returned a reply.
    Reply,
    /// It returned a failure.
    Failure,
    /// It exceeded a limit.
    Limit,
    /// It trapped.
    Trap,
}

/// A denied call, as the room sees it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Denied {
    /// The call's name, for example `pipelines.trigger`.
    pub call: String,
    /// The target: `cms/production version 1.0.2`.
    pub about: String,
    /// Every rule that denies the call.
    pub reasons: Vec<Reason>,
}

impl Denied {
    /// All reasons in one line.
    pub(crate) fn texts(&self) -> String {
        let texts: Vec<&str> = self.reasons.iter().map(|reason| reason.text.as_str()).collect();
        texts.join("; ")
    }
}

/// A reason why a call is denied.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// A stable identifier: `query`, `grant`, `typed`, `role`, `bot`, `owner`, `limit`, `freeze`, `order`, `direct`,
    /// `approval`, `override`.
    pub kind: String,
    /// One line that names the rule.
    pub text: String,
    /// The lines of `plugins.toml` that would allow the call, if adding a rule can.
    pub add: Option<String>,
}
