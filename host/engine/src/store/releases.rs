//! Releases as they are kept: which version ran where.
//!
//! Plain data. They are written by the host alone, with the result of the run that made them.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Outcome, Person, RunKey};

/// A deployment that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The run, or a key of its own for one that was recorded; a second release under one key is ignored.
    pub run: RunKey,
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
    /// The version.
    pub version: String,
    /// Who asked.
    pub person: Person,
    /// The job; empty for one that was recorded.
    pub job: String,
    /// When its run was started.
    pub started: Timestamp,
    /// When it ended.
    pub ended: Timestamp,
    /// How.
    pub outcome: Outcome,
    /// Whether somebody said that it ran there, and no job of this host's did it.
    pub recorded: bool,
}

/// Which releases.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseQuery {
    /// Only of this app.
    pub app: Option<String>,
    /// Only in this environment.
    pub environment: Option<String>,
    /// Only of this version.
    pub version: Option<String>,
    /// Only with this outcome.
    pub outcome: Option<Outcome>,
    /// Only the newest of each app and environment (after the other limits).
    pub latest: bool,
}
