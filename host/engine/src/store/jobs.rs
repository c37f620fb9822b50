//! Jobs as they are kept: rows, where they stand, the places that they hold, how they end.
//!
//! Plain data. What a job did is in its journal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::Person;

/// An action that somebody typed, or that one left for later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// Short, lower case, unique for ever, also when the job was removed: runs and releases are named by it.
    pub id: String,
    /// The message that caused it.
    pub inbox: InboxKey,
    /// The thread that its words go to.
    pub thread: Option<String>,
    /// The identity through which it was asked.
    pub bot: String,
    /// Who typed it.
    pub caller: Person,
    /// The plugin.
    pub plugin: String,
    /// The digest of the plugin's bytes.
    pub digest: String,
    /// The command's own name.
    pub command: String,
    /// The app that was typed, if the command takes one.
    pub app: Option<String>,
    /// The environment that was typed, if the command takes one.
    pub environment: Option<String>,
    /// The whole command as it is understood, one line.
    pub line: String,
    /// The job that left this one for later; `None` for one that was typed.
    pub parent: Option<String>,
    /// Why it goes without the approval that the rules ask for, if its caller said so.
    pub overrides: Option<String>,
    /// When it was opened.
    pub opened: Timestamp,
    /// Where it stands, or stood when it ended.
    pub stand: JobStatus,
    /// How it ended; `None` while it is open.
    pub end: Option<JobEnd>,
}

impl JobRow {
    /// The place that was typed, if one was.
    pub fn place(&self) -> Option<DeploymentLock> {
        Some(DeploymentLock { app: self.app.clone()?, environment: self.environment.clone()? })
    }
}

/// Where an open job stands.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// What has to happen for it to go on.
    pub phase: JobPhase,
    /// The same in words, for people: `cms/staging is running`.
    pub about: String,
    /// Since when.
    pub since: Timestamp,
    /// When it is looked at again by itself, if ever.
    pub wake: Option<Timestamp>,
}

/// What has to happen for an open job to go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobPhase {
    /// Nothing: its plugin runs, or its end is being told.
    Working,
    /// A run has to end.
    Run,
    /// A time has to come.
    Time,
    /// Another job has to let go of a place.
    Line,
    /// It was left for later, and its time has to come; nothing of it has run yet.
    Later,
    /// Somebody has to say whether an effect happened.
    Asked,
    /// Somebody else has to approve of its next effect.
    Approval,
    /// Somebody has to look at it: it cannot go on by itself.
    Held,
}

impl JobPhase {
    /// All of them.
    pub const ALL: [Self; 8] =
        [Self::Working, Self::Run, Self::Time, Self::Line, Self::Later, Self::Asked, Self::Approval, Self::Held];

    /// The word for it in reports.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Working => "working",
            Self::Run => "waits for a run",
            Self::Time => "waits for a time",
            Self::Line => "stands in line",
            Self::Later => "left for later",
            Self::Asked => "asks",
            Self::Approval => "waits for approval",
            Self::Held => "held",
        }
    }
}

/// One app in one environment: what a job holds from its first effect there to its closing line.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentLock {
    /// The app.
    pub app: String,
    /// The environment.
    pub environment: String,
}

impl std::fmt::Display for DeploymentLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

/// Which jobs.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only those that are open (true) or over (false).
    pub open: Option<bool>,
    /// Only those that stand here.
    pub phases: Option<Vec<JobPhase>>,
    /// Only those of this plugin.
    pub plugin: Option<String>,
    /// Only those that this person asked for.
    pub caller: Option<String>,
    /// Only those whose words go to this thread: network, room, root event.
    pub thread: Option<(String, String, String)>,
    /// Only those that this message caused.
    pub inbox: Option<InboxKey>,
    /// Only those that go without the approval that the rules ask for.
    pub overrides: bool,
    /// How many at most, the newest first; all if nothing is said, which is for phases that are few.
    pub limit: Option<u32>,
}

/// How a job ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// How.
    pub outcome: JobOutcome,
    /// When.
    pub at: Timestamp,
    /// The closing line.
    pub summary: String,
}

/// How a job can end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// It did what was asked.
    Succeeded,
    /// It did, and something went less well than it should.
    Warnings,
    /// It did not.
    Failed,
    /// It was called off.
    Cancelled,
    /// A rule refused one of its effects, and the plugin gave up.
    Refused,
    /// Nobody else approved of it, or somebody said no.
    NotApproved,
    /// Nobody knows how far it came.
    Unknown,
}

impl JobOutcome {
    /// The word for it in the room and the store.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::Warnings => "succeeded with warnings",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Refused => "refused",
            Self::NotApproved => "not approved",
            Self::Unknown => "unknown",
        }
    }
}
