//! The closing line of a job: what the plugin says, and what the host knows better.

use crate::{
    base::Text,
    job::{Denied, GuestEndKind, GuestOutcome},
    store::{JobOutcome, JobRow},
};

/// What a job says at its end is cut here, in bytes, and so is what it was refused.
const LONGEST: usize = 8_000;

/// How a job ended, and what the room is told.
pub(crate) fn closing(row: &JobRow, ended: &GuestOutcome) -> (JobOutcome, Text) {
    let denied = &ended.denied;
    let name = &row.command;
    let (outcome, mut text) = match ended.end {
        // Whatever the plugin makes of it.
        GuestEndKind::Reply | GuestEndKind::Failure if denied.iter().any(is_not_approved) => {
            let mut text = match ended.acted {
                true => Text::lines(format!("`{}` was not approved in the middle.", row.line)),
                false => Text::lines(format!("`{}` was not approved, and nothing was done.", row.line)),
            };
            if ended.acted {
                text.push_lines(&ended.text);
            }
            (JobOutcome::NotApproved, text)
        }
        GuestEndKind::Reply => {
            // A plugin that was refused something and says nothing of it does not get to say that all is well.
            let warned = ended.warnings || !denied.is_empty();
            let outcome = if warned { JobOutcome::Warnings } else { JobOutcome::Succeeded };
            (outcome, Text::lines(&ended.text))
        }
        GuestEndKind::Failure => {
            let outcome = match ended.code.as_str() {
                "denied" if !denied.is_empty() => JobOutcome::Refused,
                "cancelled" => JobOutcome::Cancelled,
                "unknown" => JobOutcome::Unknown,
                _ => JobOutcome::Failed,
            };
            // The host says better than the plugin what was refused.
            let text = match outcome {
                JobOutcome::Refused if ended.acted => Text::lines(format!("`{}` was refused in the middle.", row.line)),
                JobOutcome::Refused => Text::lines(format!("`{}` was refused, and nothing was done.", row.line)),
                _ => Text::lines(&ended.text),
            };
            (outcome, text)
        }
        GuestEndKind::Limit => (JobOutcome::Failed, Text::lines(format!("`{name}` was ended: {}.", ended.text))),
        GuestEndKind::Trap => (JobOutcome::Failed, Text::lines(format!("`{name}` broke: {}.", ended.text))),
    };
    if text.is_empty() {
        text = Text::lines(format!("`{}` {}.", row.line, outcome.as_str()));
    }
    // What was refused must not be cut off by what is said before it.
    let mut text = text.clamped(LONGEST);
    text.append(refusals(denied).clamped(LONGEST));
    (outcome, text)
}

/// Whether others said no to it, or did not say yes in time.
fn is_not_approved(denied: &Denied) -> bool {
    denied.reasons.iter().any(|reason| reason.kind == "approval")
}

/// What was refused, with every rule that stands in the way.
pub(crate) fn refusals(denied: &[Denied]) -> Text {
    let mut text = Text::default();
    for refused in denied {
        text.push_lines(format!("Refused: {} {}", refused.call, refused.about).trim_end());
        for reason in &refused.reasons {
            text.push_lines(format!("  - {}: {}", reason.kind, reason.text));
        }
    }
    text
}
