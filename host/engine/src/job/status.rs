//! What there is to say about a job: the same words in the room and on the command line.
//!
//! Invariant: read from the store alone, so that somebody who looks on from outside sees what the host sees; the host adds
//! what the job's card shows now.
//! Not here: who may see a job (`engine::desk`), and its journal line by line (`journal::show`).

use super::{
    entry::about,
    history::{JobHistory, ReplayPosition},
};
use crate::{
    base::{clean, moment, took},
    store::{DeploymentLock, JobPhase, JobRow, Store},
};

/// What a job's journal and its places say of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Status {
    /// The places that it holds.
    pub places: Vec<DeploymentLock>,
    /// The effect of which nobody knows whether it happened, while it is open.
    pub in_doubt: Option<String>,
    /// Whether it was called off and has not ended yet.
    pub called_off: bool,
    /// How many entries its journal has; or why it cannot be read, one line.
    pub entries: Result<usize, String>,
}

impl Status {
    /// Reads a job's journal. A journal that cannot be read is said, and is no error.
    pub async fn read(store: &dyn Store, job: &JobRow, places: Vec<DeploymentLock>) -> Self {
        match JobHistory::read(store, &job.id).await {
            Ok(history) => Self {
                in_doubt: match (history.standing(), &job.end) {
                    (ReplayPosition::InDoubt(at), None) => Some(about(&history.entries()[at])),
                    _ => None,
                },
                called_off: history.cancelled() && job.end.is_none(),
                entries: Ok(history.entries().len()),
                places,
            },
            Err(error) => Self { places, in_doubt: None, called_off: false, entries: Err(error.to_string()) },
        }
    }

    /// All there is to say, the job's line first. `stage` is what its card shows now, where that is known.
    pub fn text(&self, job: &JobRow, stage: Option<&str>) -> String {
        let mut lines = vec![status_line(job, stage)];
        let taken = job.end.as_ref().map(|end| format!(", took {}", took(job.opened, end.at))).unwrap_or_default();
        lines.push(format!("  opened {}{taken}, plugin {}", moment(job.opened), job.plugin));
        if let (JobPhase::Run, Some(stage), None) = (job.stand.phase, stage, &job.end) {
            lines.push(format!("  stage: {stage}"));
        }
        lines.extend(job.parent.iter().map(|parent| format!("  left for later by job {parent}")));
        if !self.places.is_empty() {
            let places: Vec<String> = self.places.iter().map(ToString::to_string).collect();
            lines.push(format!("  holds {}", places.join(", ")));
        }
        lines.extend(self.in_doubt.iter().map(|what| format!("  not known: whether {what} happened")));
        if self.called_off {
            lines.push("  called off: it is being told to stop".to_owned());
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

/// `7f3ak: deploy cms staging 1.0.2, by Bob: waits for cms/staging, since 2026-11-21 14:05 UTC`. `stage` is what the job's
/// card shows now, where that is known.
pub fn status_line(job: &JobRow, stage: Option<&str>) -> String {
    format!("{}: {}, by {}: {}", job.id, job.line, clean(&job.caller.name), stands(job, stage))
}

/// Where a job stands.
fn stands(job: &JobRow, stage: Option<&str>) -> String {
    if let Some(end) = &job.end {
        return format!("{} at {}", end.outcome.as_str(), moment(end.at));
    }
    let about = match (job.stand.phase, stage) {
        (JobPhase::Working, Some(stage)) => format!("at work, {stage}"),
        (JobPhase::Working, None) => "at work".to_owned(),
        _ => job.stand.about.clone(),
    };
    format!("{about}, since {}", moment(job.stand.since))
}
