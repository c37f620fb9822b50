//! The result of a job's plugin, in the form that the `End` entry of the journal stores. In this file, the guest is the
//! running instance of the plugin.

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct GuestOutcome {
    pub(crate) end: GuestEndKind,
    /// The plugin's reply or failure message, or the reason why the host stopped the plugin.
    pub(crate) text: String,
    /// The code of a failure, such as `cancelled`; empty otherwise.
    pub(crate) code: String,
    /// Whether the plugin reported a success with warnings.
    pub(crate) warnings: bool,
    /// The host calls that the rules denied.
    pub(crate) denied: Vec<Denied>,
    /// Whether the plugin made at least one allowed host call that changes something.
    pub(crate) acted: bool,
}

impl GuestOutcome {
    /// Returns the result of a cancelled job whose plugin the host does not run again. `text` is the failure message.
    pub(crate) fn cancelled(text: String) -> Self {
        let code = "cancelled".to_owned();
        Self { end: GuestEndKind::Failure, text, code, warnings: false, denied: Vec::new(), acted: false }
    }

    /// Returns the result of a job whose plugin the host does not run again, because the plugin reached a limit. `text`
    /// is the limit. `acted` is whether the plugin made an effect.
    pub(crate) fn limit(text: String, acted: bool) -> Self {
        Self { end: GuestEndKind::Limit, text, code: String::new(), warnings: false, denied: Vec::new(), acted }
    }
}

/// The ways in which the run of a plugin ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum GuestEndKind {
    Reply,
    Failure,
    /// The plugin exceeded a resource limit.
    Limit,
    Trap,
}

/// A denied host call, with the texts that messages show.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Denied {
    /// The name of the host call, such as `pipelines.trigger`.
    pub call: String,
    /// The target of the host call, such as `cms/production version 1.0.2`.
    pub about: String,
    /// One reason for each rule that denies the host call.
    pub reasons: Vec<Reason>,
}

impl Denied {
    /// Returns the texts of all reasons, separated by semicolons.
    pub(crate) fn texts(&self) -> String {
        let texts: Vec<&str> = self.reasons.iter().map(|reason| reason.text.as_str()).collect();
        texts.join("; ")
    }
}

/// The reason why one rule denies a host call.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub struct Reason {
    /// The kind of the rule, as an identifier that does not change between versions of Wardroom: `query`, `grant`,
    /// `typed`, `role`, `bot`, `owner`, `limit`, `freeze`, `order`, `direct`, `approval`, `override`.
    pub kind: String,
    /// The reason in one line, with the name of the rule.
    pub text: String,
    /// The lines to add to `plugins.toml` to allow the host call; `None` if no added line would allow the host call.
    pub add: Option<String>,
}
