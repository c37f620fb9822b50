//! The status text of a job, for the room and for the command line.
//!
//! Invariant: read from the store alone, so the command line and the host show the same status. The host adds the stage
//! on the job's card.

use super::{
    entry::about,
    history::{JobHistory, ReplayPosition},
};
use crate::{
    base::{clean, moment, took},
    store::{DeploymentLock, JobPhase, JobRow, Store},
};

/// A job's status, from its journal and its locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The deployment locks that the job holds.
    pub locks: Vec<DeploymentLock>,
    /// The open effect whose outcome is unknown.
    pub in_doubt: Option<String>,
    /// Whether the job was cancelled and has not ended yet.
    pub cancelled: bool,
    /// The number of journal entries; or why the journal cannot be read, in one line.
    pub entries: Result<usize, String>,
}

impl Status {
    /// Reads a job's status. A journal that cannot be read is part of the status, not an error.
    pub async fn read(store: &dyn Store, job: &JobRow, locks: Vec<DeploymentLock>) -> Self {
        match JobHistory::read(store, &job.id).await {
            Ok(history) => Self {
                in_doubt: match (history.position(), &job.end) {
                    (ReplayPosition::InDoubt(at), None) => Some(about(&history.entries()[at])),
                    _ => None,
                },
                cancelled: history.cancelled() && job.end.is_none(),
                entries: Ok(history.entries().len()),
                locks,
            },
            Err(error) => Self { locks, in_doubt: None, cancelled: false, entries: Err(error.to_string()) },
        }
    }

    /// The whole status, the job's line first. `stage` is the stage on the job's card, if this process runs the job.
    pub fn text(&self, job: &JobRow, stage: Option<&str>) -> String {
        let mut lines = vec![status_line(job, stage)];
        let taken = job.end.as_ref().map(|end| format!(", took {}", took(job.opened, end.at))).unwrap_or_default();
        lines.push(format!("  opened {}{taken}, plugin {}", moment(job.opened), job.plugin));
        if let (JobPhase::Run, Some(stage), None) = (job.status.phase, stage, &job.end) {
            lines.push(format!("  stage: {stage}"));
        }
        lines.extend(job.parent.iter().map(|parent| format!("  scheduled by job {parent}")));
        if !self.locks.is_empty() {
            let locks: Vec<String> = self.locks.iter().map(ToString::to_string).collect();
            lines.push(format!("  holds the deployment lock of {}", locks.join(", ")));
        }
        lines.extend(self.in_doubt.iter().map(|what| format!("  unknown: whether {what} happened")));
        if self.cancelled {
            lines.push("  cancelled: the plugin is being stopped".to_owned());
        }
        lines.push(match &self.entries {
            Ok(1) => "  1 entry in its journal".to_owned(),
            Ok(entries) => format!("  {entries} entries in its journal"),
            Err(why) => format!("  {why}"),
        });
        if let Some(end) = &job.end {
            lines.extend(end.summary.lines().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

/// `7f3ak: deploy cms staging 1.0.2, by Bob: waits for cms/staging, since 2026-11-21 14:05 UTC`. `stage` is the stage
/// on the job's card, if this process runs the job.
pub fn status_line(job: &JobRow, stage: Option<&str>) -> String {
    format!("{}: {}, by {}: {}", job.id, job.line, clean(&job.caller.name), status_text(job, stage))
}

fn status_text(job: &JobRow, stage: Option<&str>) -> String {
    if let Some(end) = &job.end {
        return format!("{} at {}", end.outcome.as_str(), moment(end.at));
    }
    let about = match (job.status.phase, stage) {
        (JobPhase::Running, Some(stage)) => format!("running, {stage}"),
        (JobPhase::Running, None) => "running".to_owned(),
        _ => job.status.about.clone(),
    };
    format!("{about}, since {}", moment(job.status.since))
}
