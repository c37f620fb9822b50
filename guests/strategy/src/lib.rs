//! How one version of an app gets to one environment. Shared by the plugins that deploy.
//!
//! [`Target::find`] reads the operator's catalog, [`Target::run`] does what the strategy named there
//! asks for, [`Closing`] has the words that all closing lines share, [`Past`] tells what ran there before.
//! A new strategy is a module beside `pipeline` and an arm in [`Target::run`].
//!
//! Architecture Invariant: a plugin that did not see how a run ended never says that it failed;
//! that is [`Outcome::Unknown`].
//! Not here: commands, and what each of them calls its success.

mod closing;
mod past;
mod pipeline;
mod target;

pub use closing::{Closing, undo};
pub use past::{Past, by, came};
pub use target::{MOST, Target};

/// How an attempt ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// How.
    pub outcome: Outcome,
    /// Why it did not succeed, for people; empty where nobody said.
    pub reason: String,
    /// How long it took, in words; `None` where nobody knows.
    pub took: Option<String>,
}

/// The ways in which an attempt ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// The version is there.
    Succeeded,
    /// The attempt says that it is not.
    Failed,
    /// Somebody called it off.
    Cancelled,
    /// Nobody can say how far it came.
    Unknown,
}

impl Outcome {
    /// The outcome of the contract's word. A word that is not known yet is no success.
    pub fn of(word: &str) -> Self {
        match word {
            "succeeded" => Self::Succeeded,
            "failed" => Self::Failed,
            "cancelled" => Self::Cancelled,
            _ => Self::Unknown,
        }
    }
}
