//! The idempotency key and the outcome of a pipeline run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The idempotency key of a pipeline run, for example `7f3ak-2`: the job's id, a dash, and the number of the journal
/// entry of the host call that starts the pipeline run. After a crash, the host uses this key to ask the backend
/// whether the pipeline run was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey(String);

impl RunKey {
    /// Creates the key of a pipeline run that the job with the id `job` starts. `call` is the number of the journal
    /// entry of the host call that starts the pipeline run.
    pub fn new(job: &str, call: u32) -> Self {
        Self(format!("{job}-{call}"))
    }

    /// Parses a key: 1 to 64 lower-case letters, digits and dashes. The first character is not a dash. A valid key is
    /// therefore safe in paths and URLs. Returns `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let good = !text.is_empty()
            && text.len() <= 64
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        good.then(|| Self(text.to_owned()))
    }

    /// Returns the key as text, for example `7f3ak-2`.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The outcome of a pipeline run that ended.
///
/// ```
/// use wardroom::prelude::*;
///
/// assert_eq!(Outcome::Succeeded.as_str(), "succeeded");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// The pipeline run succeeded.
    Succeeded,
    /// The pipeline run failed.
    Failed,
    /// The pipeline run was cancelled.
    Cancelled,
    /// The pipeline run was interrupted, and its result is unknown.
    Unknown,
}

impl Outcome {
    /// Returns the outcome's name in the contract, the store and messages, for example `succeeded`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Returns the outcome with this name, or [`Outcome::Unknown`] for any other text.
    pub fn parse(word: &str) -> Self {
        let known = [Self::Succeeded, Self::Failed, Self::Cancelled];
        known.into_iter().find(|outcome| outcome.as_str() == word).unwrap_or(Self::Unknown)
    }
}
