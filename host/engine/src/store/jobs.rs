//! The rows of jobs: status, deployment lock, end.
//!
//! Plain data. The calls of a job are in its journal.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::Person;

/// A job: an action that a person typed or that another job scheduled.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// A short lower-case id. It is never used again, even after the job was removed, because runs and releases are
    /// named by it.
    pub id: String,
    /// The message that started the job.
    pub inbox: InboxKey,
    /// The thread of the job's messages; `None` for the room itself.
    pub thread: Option<String>,
    /// The bot that received the command.
    pub bot: String,
    /// The person who typed the command.
    pub caller: Person,
    /// The plugin's name.
    pub plugin: String,
    /// The digest of the plugin's bytes.
    pub digest: String,
    /// The full name of the command.
    pub command: String,
    /// The app in the command, if it takes one.
    pub app: Option<String>,
    /// The environment in the command, if it takes one.
    pub environment: Option<String>,
    /// The command line in its normal form.
    pub line: String,
    /// The job that scheduled this one; `None` if it was typed.
    pub parent: Option<String>,
    /// The reason for overriding a required approval, if the caller gave one.
    pub overrides: Option<String>,
    /// The time at which the job was opened.
    pub opened: Timestamp,
    /// The current status; for an ended job, its last one.
    #[serde(rename = "stand")]
    pub status: JobStatus,
    /// The end; `None` while the job is open.
    pub end: Option<JobEnd>,
}

impl JobRow {
    /// The deployment lock of the command's app and environment, if it names both.
    pub fn deployment_lock(&self) -> Option<DeploymentLock> {
        Some(DeploymentLock { app: self.app.clone()?, environment: self.environment.clone()? })
    }
}

/// The status of an open job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The event that the job waits for.
    pub phase: JobPhase,
    /// A description for people: `cms/staging is running`.
    pub about: String,
    /// The time at which the phase began.
    pub since: Timestamp,
    /// The time at which the job wakes by itself, if any.
    pub wake: Option<Timestamp>,
}

/// The event that an open job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobPhase {
    /// Nothing: its plugin runs, or its end is being written.
    #[serde(rename = "working")]
    Running,
    /// The end of a pipeline run.
    Run,
    /// A time.
    Time,
    /// A deployment lock that another job holds.
    #[serde(rename = "line")]
    Queued,
    /// The start time of a scheduled job; its plugin has not run yet.
    #[serde(rename = "later")]
    Scheduled,
    /// A person's answer whether an effect happened.
    #[serde(rename = "asked")]
    InDoubt,
    /// The approval of its next effect.
    Approval,
    /// A person's decision: the job cannot continue by itself.
    Held,
}

impl JobPhase {
    /// All phases.
    pub const ALL: [Self; 8] = [
        Self::Running,
        Self::Run,
        Self::Time,
        Self::Queued,
        Self::Scheduled,
        Self::InDoubt,
        Self::Approval,
        Self::Held,
    ];

    /// The name in messages and metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Run => "waits for a run",
            Self::Time => "waits for a time",
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::InDoubt => "waits for an answer",
            Self::Approval => "waits for approval",
            Self::Held => "held",
        }
    }
}

/// The lock of an app in an environment. A job holds it from its first effect there until it is closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentLock {
    /// The app's name.
    pub app: String,
    /// The environment's name.
    pub environment: String,
}

impl std::fmt::Display for DeploymentLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

/// A filter for jobs. Conditions that are not set match every job.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only open jobs (`true`) or ended jobs (`false`).
    pub open: Option<bool>,
    /// Only jobs in one of these phases.
    pub phases: Option<Vec<JobPhase>>,
    /// Only jobs of this plugin.
    pub plugin: Option<String>,
    /// Only jobs of this caller, by id.
    pub caller: Option<String>,
    /// Only jobs whose messages go to this thread: network, room, root event.
    pub thread: Option<(String, String, String)>,
    /// Only jobs that this message started.
    pub inbox: Option<InboxKey>,
    /// Only jobs that override a required approval.
    pub overrides: bool,
    /// The maximum number of jobs, the newest first. `None` returns all, so use it only with phases that few jobs are
    /// in.
    pub limit: Option<u32>,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The outcome of the job.
    pub outcome: JobOutcome,
    /// The time of the end.
    pub at: Timestamp,
    /// The text of the closing message.
    pub summary: String,
}

/// The outcome of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// It succeeded.
    Succeeded,
    /// It succeeded with warnings.
    Warnings,
    /// It failed.
    Failed,
    /// It was cancelled.
    Cancelled,
    /// A rule denied one of its effects, and the plugin stopped.
    Refused,
    /// A required approval was denied or came too late.
    NotApproved,
    /// It is unknown how far it came.
    Unknown,
}

impl JobOutcome {
    /// The name in messages and in the store.
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
