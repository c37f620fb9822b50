//! The rows of jobs: a job's command and caller, its status, its deployment lock and its end.
//!
//! Not here: the host calls of a job, which the job's journal records (`journal.rs`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::messages::InboxKey;
use crate::model::Person;

/// A job: one run of an action. A person typed the action, or a trigger or another job started it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobRow {
    /// The short lower-case id, for example `7f3ak`. The host never uses an id for a second job, because pipeline runs
    /// and releases refer to the id even after the job is removed.
    pub id: String,
    /// The inbox key of the message or trigger that started the job.
    pub inbox: InboxKey,
    /// The id of the first message of the thread to which the job's messages go; `None` if the messages go to the room
    /// itself.
    pub thread: Option<String>,
    /// The name of the bot that received the command.
    pub bot: String,
    /// The person who typed the command; for a trigger, the identity under which the command runs.
    pub caller: Person,
    /// The name of the plugin that runs the action.
    pub plugin: String,
    /// The digest of the plugin's WebAssembly component: `sha256:…`.
    pub digest: String,
    /// The full name of the command, for example `deploy`.
    pub command: String,
    /// The app in the command; `None` if the command has no app.
    pub app: Option<String>,
    /// The environment in the command; `None` if the command has no environment.
    pub environment: Option<String>,
    /// The command line in its normal form, for example `deploy cms staging 1.0.2`.
    pub line: String,
    /// The id of the job that scheduled this job; `None` if no job scheduled it.
    pub parent: Option<String>,
    /// The reason that the caller gave with the flag `--override`; `None` without the flag. The journal says whether the
    /// flag lifted a required approval.
    pub overrides: Option<String>,
    /// The time at which the host created the job.
    pub opened: Timestamp,
    /// The current status. For a job that ended, the status that the job had just before it ended.
    #[serde(rename = "stand")]
    pub status: JobStatus,
    /// The outcome, the time and the closing message; `None` while the job is open.
    pub end: Option<JobEnd>,
}

impl JobRow {
    /// Returns the deployment lock of the command's app and environment; `None` if the command lacks an app or an
    /// environment.
    pub fn deployment_lock(&self) -> Option<DeploymentLock> {
        Some(DeploymentLock { app: self.app.clone()?, environment: self.environment.clone()? })
    }
}

/// The status of a job that has not ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobStatus {
    /// The phase, which says what the job waits for.
    pub phase: JobPhase,
    /// The description of the status for people, for example `cms/staging is running`.
    pub about: String,
    /// The time at which the current phase began.
    pub since: Timestamp,
    /// The time at which the host wakes the job, for example the end of a timer; `None` if only an event wakes the job.
    pub wake: Option<Timestamp>,
}

/// The phase of an open job, which says what the job waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum JobPhase {
    /// The job does not wait: its plugin runs, or the plugin has finished and the host stores the result.
    #[serde(rename = "working")]
    Running,
    /// The job waits for the end of a pipeline run.
    Run,
    /// The job waits for a point in time.
    Time,
    /// The job waits for a deployment lock that another job holds.
    #[serde(rename = "line")]
    Queued,
    /// The job waits for its scheduled start time; its plugin has not run yet.
    #[serde(rename = "later")]
    Scheduled,
    /// An effect of the job is in doubt. The job waits until a person states whether the effect happened.
    #[serde(rename = "asked")]
    InDoubt,
    /// The job waits for the approval of its next effect.
    Approval,
    /// The host cannot continue the job because of an error. The job waits until a person decides how to continue.
    Held,
}

impl JobPhase {
    /// All phases, in the order in which reports list them.
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

    /// Returns the description of the phase in messages, for example `waits for a pipeline run`.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Run => "waits for a pipeline run",
            Self::Time => "waits for a time",
            Self::Queued => "queued",
            Self::Scheduled => "scheduled",
            Self::InDoubt => "waits for an answer",
            Self::Approval => "waits for approval",
            Self::Held => "held",
        }
    }
}

/// The deployment lock of an app in an environment. A job holds the lock from its first effect on this app and
/// environment until the job is closed.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct DeploymentLock {
    /// The name of the app, for example `cms`.
    pub app: String,
    /// The name of the environment, for example `staging`.
    pub environment: String,
}

impl std::fmt::Display for DeploymentLock {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.app, self.environment)
    }
}

/// A filter for jobs. Each field is a condition, and a job must meet all conditions. A field that is `None` or `false`
/// sets no condition.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct JobQuery {
    /// Only open jobs (`Some(true)`) or only ended jobs (`Some(false)`).
    pub open: Option<bool>,
    /// Only jobs in one of these phases.
    pub phases: Option<Vec<JobPhase>>,
    /// Only jobs of this plugin.
    pub plugin: Option<String>,
    /// Only jobs whose caller has this id.
    pub caller: Option<String>,
    /// Only jobs whose messages go to this thread, given as the network, the room and the id of the thread's first
    /// message.
    pub thread: Option<(String, String, String)>,
    /// Only jobs that the message with this inbox key started.
    pub inbox: Option<InboxKey>,
    /// If `true`, only jobs whose caller gave the flag `--override`.
    pub overrides: bool,
    /// The maximum number of jobs that the query returns, the newest first; `None` for all matching jobs. Use `None`
    /// only if few jobs can match, for example with `phases`.
    pub limit: Option<u32>,
}

/// The end of a job.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct JobEnd {
    /// The outcome, which determines the job's final status card.
    pub outcome: JobOutcome,
    /// The time at which the job ended.
    pub at: Timestamp,
    /// The text of the closing message in the room.
    pub summary: String,
}

/// The outcome of a job.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum JobOutcome {
    /// The job succeeded.
    Succeeded,
    /// The job succeeded, but the plugin reported warnings.
    Warnings,
    /// The job failed.
    Failed,
    /// The job was cancelled.
    Cancelled,
    /// A rule denied an effect of the job, and the plugin stopped.
    Refused,
    /// A person denied a required approval, or the approval came too late.
    NotApproved,
    /// The result of the job is unknown: the host cannot determine which effects happened.
    Unknown,
}

impl JobOutcome {
    /// Returns the outcome's name in messages, for example `succeeded with warnings`.
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
