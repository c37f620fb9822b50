//! The key and the outcome of a pipeline run.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The idempotency key of a run: the job's id, a dash, and the number of the call's entry. It is deterministic, so that
/// after a crash the backend can be asked whether the run was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey(String);

impl RunKey {
    /// The key of a job's call.
    pub fn new(job: &str, call: u32) -> Self {
        Self(format!("{job}-{call}"))
    }

    /// Parses a key. `None` unless it has only lower-case letters, digits and dashes, so that it is safe in paths and
    /// URLs.
    pub fn parse(text: &str) -> Option<Self> {
        let good = !text.is_empty()
            && text.len() <= 64
            && !text.starts_with('-')
            && text.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-');
        good.then(|| Self(text.to_owned()))
    }

    /// The key as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for RunKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The outcome of a run.
///
/// ```
/// use wardroom::prelude::*;
///
/// assert_eq!(Outcome::Succeeded.as_str(), "succeeded");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It succeeded.
    Succeeded,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// It was interrupted, and its progress is unknown.
    Unknown,
}

impl Outcome {
    /// The name in the contract, the store and messages.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// Parses a name. Unknown names are [`Outcome::Unknown`].
    pub fn parse(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}
