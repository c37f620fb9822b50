//! The rows of releases: ended deployments, each with its app, environment, version and outcome.
//!
//! Only the host writes releases, in the same transaction as the result of the pipeline run.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::{Outcome, Person, RunKey};

/// A release: the record of an ended deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Release {
    /// The idempotency key of the pipeline run, or a generated key for a release that a person recorded. The store
    /// ignores a second release with the same key.
    pub run: RunKey,
    /// The name of the app, for example `cms`.
    pub app: String,
    /// The name of the environment, for example `staging`.
    pub environment: String,
    /// The deployed version, for example `1.0.2`.
    pub version: String,
    /// The person who started the deployment or recorded the release.
    pub person: Person,
    /// The id of the job that deployed the version. Empty if a person recorded the release.
    pub job: String,
    /// The start time of the pipeline run. If a person recorded the release, the time at which the person did so.
    pub started: Timestamp,
    /// The end time of the pipeline run. If a person recorded the release, the time at which the person did so.
    pub ended: Timestamp,
    /// The outcome of the pipeline run. If a person recorded the release, always `succeeded`.
    pub outcome: Outcome,
    /// `true` if a person recorded the release with a command; `false` if a job of this host deployed the version.
    pub recorded: bool,
}

/// A filter for releases. Each field is a condition, and a release must meet all conditions. A field that is `None` or
/// `false` sets no condition.
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
    /// If `true`, only the newest release of each app in each environment, among the releases that meet the other
    /// conditions.
    pub latest: bool,
    /// At most this many releases, the newest of those that meet the conditions. `None` for no limit.
    pub limit: Option<u32>,
}
