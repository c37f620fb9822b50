//! A pipeline's run: its key and its outcome.

use std::fmt;

use serde::{Deserialize, Serialize};

/// Names one run for ever: the job's id, a dash, the number of the call. Deterministic, so that after a
/// crash the backend can be asked whether the run was started.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunKey(String);

impl RunKey {
    /// The key of a job's call.
    pub fn new(job: &str, call: u32) -> Self {
        Self(format!("{job}-{call}"))
    }

    /// A key as it was written down. `None` unless it is lower case letters, digits and dashes, so
    /// that it can stand in a path or a URL.
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

/// How something ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Outcome {
    /// It did what was asked.
    Succeeded,
    /// It said that it did not.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// It was interrupted, and nobody can say how far it came.
    Unknown,
}

impl Outcome {
    /// The word in the contract, the store and the room.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Unknown => "unknown",
        }
    }

    /// The outcome of a word; what is not one is [`Outcome::Unknown`].
    pub fn parse(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}
