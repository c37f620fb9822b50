//! The rows of releases: which version was deployed where.
//!
//! Plain data. Only the host writes releases, in the transaction of their run's result.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Outcome, Person, RunKey};

/// A deployment that ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The key of the run, or a generated key for a recorded release. A second release with the same key is ignored.
    pub run: RunKey,
    /// The app's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
    /// The version that was deployed.
    pub version: String,
    /// The person who started the job.
    pub person: Person,
    /// The job's id; empty for a recorded release.
    pub job: String,
    /// The time at which the run started.
    pub started: Timestamp,
    /// The time at which the run ended.
    pub ended: Timestamp,
    /// The outcome of the deployment.
    pub outcome: Outcome,
    /// Whether a person recorded it with a command, rather than a job of this host deploying it.
    pub recorded: bool,
}

/// A filter for releases. Conditions that are not set match every release.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ReleaseQuery {
    /// Only releases of this app.
    pub app: Option<String>,
    /// Only releases in this environment.
    pub environment: Option<String>,
    /// Only releases of this version.
    pub version: Option<String>,
    /// Only releases with this outcome.
    pub outcome: Option<Outcome>,
    /// Only the newest release of each app and environment, after the other conditions.
    pub latest: bool,
}
