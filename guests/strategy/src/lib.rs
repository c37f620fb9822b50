//! Deployment of one version of an app to one environment, shared by the plugins that deploy.
//!
//! [`Target::find`] reads the catalog, [`Target::run`] runs the strategy that the catalog names, [`Closing`] formats
//! the closing line, and [`History`] evaluates the releases of the target. A new strategy is a module beside `pipeline`
//! and an arm in [`Target::run`].
//!
//! Architecture Invariant: a plugin that did not get the end of a run never reports a failure, but
//! [`Outcome::Unknown`].

mod closing;
mod history;
mod pipeline;
mod target;

pub use closing::{Closing, undo};
pub use history::{History, attribution, outcome};
pub use target::{MAX_RELEASES, Target};

/// The end of an attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome.
    pub outcome: Outcome,
    /// Why it did not succeed, for people; may be empty.
    pub reason: String,
    /// The formatted duration; `None` if it is not known.
    pub duration: Option<String>,
}

/// The outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The version is deployed.
    Succeeded,
    /// The deployment reported a failure.
    Failed,
    /// A person cancelled it.
    Cancelled,
    /// The outcome is not known.
    Unknown,
}

impl Outcome {
    /// Parses an outcome of the contract. A value that this version does not have becomes [`Outcome::Unknown`].
    pub fn of(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}
