//! Deployment of one version of an app to one environment, shared by the plugins that deploy.
//!
//! [`Target::find`] reads the catalog, [`Target::run`] runs the strategy that the catalog names, [`Closing`] formats
//! the closing line, and [`History`] evaluates the releases of the target. A new strategy is a module like `pipeline`
//! and an arm in [`Target::run`].
//!
//! Invariant: if a plugin does not receive the end of a pipeline run, the plugin reports
//! [`Outcome::Unknown`] and never a failure.

mod closing;
mod history;
mod pipeline;
mod target;

pub use closing::{Closing, undo};
pub use history::{History, attribution, outcome};
pub use target::{MAX_RELEASES, Target};

/// The end of an attempt to deploy a version.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// The outcome that the closing line reports.
    pub outcome: Outcome,
    /// The reason if the attempt did not succeed, for example `in step migrate (exit code 3)`; may be empty.
    pub reason: String,
    /// The formatted duration of the attempt, for example `6 min 1 s`; `None` if the duration is not known.
    pub duration: Option<String>,
}

/// The outcome of an attempt to deploy a version.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The deployment reported a success.
    Succeeded,
    /// The deployment reported a failure.
    Failed,
    /// A person cancelled the deployment.
    Cancelled,
    /// It is not known whether the deployment succeeded or failed.
    Unknown,
}

impl Outcome {
    /// Parses an outcome of the contract, for example `succeeded`. An unknown word becomes [`Outcome::Unknown`].
    pub fn of(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}
