//! The closing message of a job: the text that the plugin returned, and the host's list of denied calls.

use crate::{
    base::Text,
    job::{Denied, GuestEndKind, GuestOutcome},
    store::{JobOutcome, JobRow},
};

/// The maximum length in bytes of each part of the closing message: the plugin's text and the list of denied calls.
const MAX_PART_LENGTH: usize = 8_000;

/// Returns the outcome of a job and its closing message. `ended` contains the result of the job's plugin and its denied
/// calls.
pub(crate) fn closing(row: &JobRow, ended: &GuestOutcome) -> (JobOutcome, Text) {
    let denied = &ended.denied;
    let name = &row.command;
    let (outcome, mut text) = match ended.end {
        // A missing approval decides the outcome, whatever the plugin returned.
        GuestEndKind::Reply | GuestEndKind::Failure if denied.iter().any(is_not_approved) => {
            let mut text = match ended.acted {
                true => Text::lines(format!(
                    "`{}` stopped: an effect was not approved. Earlier effects were not undone.",
                    row.line
                )),
                false => Text::lines(format!("`{}` was not approved. Nothing was changed.", row.line)),
            };
            if ended.acted {
                text.push_quote(&ended.text);
            }
            (JobOutcome::NotApproved, text)
        }
        GuestEndKind::Reply => {
            // A denied call makes a reply a success with warnings, even if the plugin reports none.
            let warned = ended.warnings || !denied.is_empty();
            let outcome = if warned { JobOutcome::Warnings } else { JobOutcome::Succeeded };
            (outcome, Text::quote(&ended.text))
        }
        GuestEndKind::Failure => {
            let outcome = match ended.code.as_str() {
                "denied" if !denied.is_empty() => JobOutcome::Refused,
                "cancelled" => JobOutcome::Cancelled,
                "unknown" => JobOutcome::Unknown,
                _ => JobOutcome::Failed,
            };
            // The host's list of denied calls replaces the plugin's text about a denial.
            let text = match outcome {
                JobOutcome::Refused if ended.acted => Text::lines(format!(
                    "`{}` stopped: an effect was refused. Earlier effects were not undone.",
                    row.line
                )),
                JobOutcome::Refused => Text::lines(format!("`{}` was refused. Nothing was changed.", row.line)),
                _ => Text::quote(&ended.text),
            };
            (outcome, text)
        }
        GuestEndKind::Limit => (JobOutcome::Failed, Text::lines(format!("`{name}` was stopped: {}.", ended.text))),
        GuestEndKind::Trap => (JobOutcome::Failed, Text::lines(format!("`{name}` crashed: {}.", ended.text))),
    };
    if text.is_empty() {
        text = Text::lines(format!("`{}` {}.", row.line, outcome.as_str()));
    }
    // The two parts are truncated separately, so that a long text cannot cut off the denied calls.
    let mut text = text.clamped(MAX_PART_LENGTH);
    text.append(refusals(denied).clamped(MAX_PART_LENGTH));
    (outcome, text)
}

/// Returns whether a call was denied because an approval is missing.
fn is_not_approved(denied: &Denied) -> bool {
    denied.reasons.iter().any(|reason| reason.kind == "approval")
}

/// Lists the denied calls, each with every rule that denies it.
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
