//! The status text of a job, for the room and for the command line.
//!
//! Invariant: everything except the stage is read from the store, so the command line and the host show the same
//! status. The stage is the progress text of the job's status card. Only the host shows it, because the card is in the
//! host's memory.

use super::{
    entry::about,
    history::{JobHistory, ReplayPosition},
};
use crate::{
    base::{clean, elapsed_text, utc_text},
    store::{DeploymentLock, JobPhase, JobRow, Store},
};

/// A job's status, from its journal and its locks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The deployment locks that the job holds, each for an app and an environment.
    pub locks: Vec<DeploymentLock>,
    /// The effect whose outcome is unknown, such as `pipelines.trigger cms/staging 1.0.2`; `None` if no effect is in
    /// doubt.
    pub in_doubt: Option<String>,
    /// Whether the job was cancelled and has not ended yet.
    pub cancelled: bool,
    /// The number of journal entries, or the error of reading the journal in one line.
    pub entries: Result<usize, String>,
}

impl Status {
    /// Reads a job's status. `locks` are the deployment locks that the job holds. If the job's journal cannot be read,
    /// [`Self::entries`] holds the error.
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

    /// Returns the job's status as several lines of text. The first line is [`JobRow::status_line`]. `stage` is the
    /// progress text that the job's status card shows; pass `None` outside of the process that runs the job.
    pub fn text(&self, job: &JobRow, stage: Option<&str>) -> String {
        let mut lines = vec![job.status_line(stage)];
        let taken =
            job.end.as_ref().map(|end| format!(", took {}", elapsed_text(job.opened, end.at))).unwrap_or_default();
        lines.push(format!("  created {}{taken}, plugin {}", utc_text(job.opened), job.plugin));
        if let (JobPhase::Run, Some(stage), None) = (job.status.phase, stage, &job.end) {
            lines.push(format!("  stage: {stage}"));
        }
        lines.extend(job.parent.iter().map(|parent| format!("  scheduled by job {parent}")));
        if !self.locks.is_empty() {
            let locks: Vec<String> = self.locks.iter().map(ToString::to_string).collect();
            lines.push(format!("  holds the deployment lock of {}", locks.join(", ")));
        }
        lines.extend(self.in_doubt.iter().map(|what| format!("  in doubt: it is unknown whether {what} happened")));
        if self.cancelled {
            lines.push("  cancelled: the host is stopping the plugin".to_owned());
        }
        lines.push(match &self.entries {
            Ok(1) => "  the journal has 1 entry".to_owned(),
            Ok(entries) => format!("  the journal has {entries} entries"),
            Err(why) => format!("  {why}"),
        });
        if let Some(end) = &job.end {
            lines.extend(end.summary.lines().map(|line| format!("  {line}")));
        }
        lines.join("\n")
    }
}

impl JobRow {
    /// Returns the job's status in one line: `7f3ak: deploy cms staging 1.0.2, by Bob: waits for cms/staging, since
    /// 2026-11-21 14:05 UTC`. `stage` is the progress text that the job's status card shows; pass `None` outside of the
    /// process that runs the job.
    pub fn status_line(&self, stage: Option<&str>) -> String {
        format!("{}: {}, by {}: {}", self.id, self.line, clean(&self.caller.name), status_text(self, stage))
    }
}

fn status_text(job: &JobRow, stage: Option<&str>) -> String {
    if let Some(end) = &job.end {
        return format!("{} at {}", end.outcome.as_str(), utc_text(end.at));
    }
    let about = match (job.status.phase, stage) {
        (JobPhase::Running, Some(stage)) => format!("running, {stage}"),
        (JobPhase::Running, None) => "running".to_owned(),
        _ => job.status.about.clone(),
    };
    format!("{about}, since {}", utc_text(job.status.since))
}
