//! The closing line of a job: what the plugin says, and what the host knows better.

use jiff::Timestamp;

use super::Text;
use crate::{
    capability::Denied,
    job::{Ended, Way},
    port::store::{JobOutcome, JobRow},
};

/// What a job says at its end is cut here, in bytes, and so is what it was refused.
const LONGEST: usize = 8_000;

/// How a job ended, and what the room is told.
pub(crate) fn closing(row: &JobRow, ended: &Ended) -> (JobOutcome, Text) {
    let denied = &ended.denied;
    let name = &row.command;
    let (outcome, mut text) = match ended.end {
        // Whatever the plugin makes of it.
        Way::Reply | Way::Failure if denied.iter().any(is_not_approved) => {
            let mut text = match ended.acted {
                true => Text::lines(format!("`{}` was not approved in the middle.", row.line)),
                false => Text::lines(format!("`{}` was not approved, and nothing was done.", row.line)),
            };
            if ended.acted {
                text.push_lines(&ended.text);
            }
            (JobOutcome::NotApproved, text)
        }
        Way::Reply => {
            // A plugin that was refused something and says nothing of it does not get to say that all is well.
            let warned = ended.warnings || !denied.is_empty();
            let outcome = if warned { JobOutcome::Warnings } else { JobOutcome::Succeeded };
            (outcome, Text::lines(&ended.text))
        }
        Way::Failure => {
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
        Way::Limit => (JobOutcome::Failed, Text::lines(format!("`{name}` was ended: {}.", ended.text))),
        Way::Trap => (JobOutcome::Failed, Text::lines(format!("`{name}` broke: {}.", ended.text))),
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

/// Somebody in words that nobody else can make theirs: what people call them, and their id.
pub(crate) fn who_is(id: &str, name: &str) -> String {
    let (id, name) = (super::clean(id), super::clean(name));
    // Whoever goes by their own id needs it once.
    let by_id = name.strip_prefix(&id).is_some_and(|rest| rest.is_empty() || rest.starts_with(','));
    match (name.is_empty(), by_id) {
        (true, _) => id,
        (_, true) => name,
        _ => format!("{name} ({id})"),
    }
}

/// How long something took, as people say it: `2 s`, `6 min 1 s`, `3 h 20 min`.
pub(crate) fn took(from: Timestamp, to: Timestamp) -> String {
    let seconds = to.as_second().saturating_sub(from.as_second()).max(0);
    let milliseconds = to.as_millisecond().saturating_sub(from.as_millisecond()).max(0);
    match seconds {
        _ if milliseconds < 1000 => "less than a second".to_owned(),
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {} s", seconds / 60, seconds % 60),
        _ => format!("{} h {} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// A moment to the minute, in UTC: `2026-11-21 14:05 UTC`; seconds where they are what matters.
pub(crate) fn moment(at: Timestamp) -> String {
    let shape = if at.as_second() % 60 == 0 { "%Y-%m-%d %H:%M UTC" } else { "%Y-%m-%d %H:%M:%S UTC" };
    at.strftime(shape).to_string()
}

/// The emoji of an outcome.
pub(crate) fn emoji(outcome: JobOutcome) -> &'static str {
    match outcome {
        JobOutcome::Succeeded => "✅",
        JobOutcome::Warnings => "⚠️",
        JobOutcome::Failed => "❌",
        JobOutcome::Cancelled => "🚫",
        JobOutcome::Refused => "⛔",
        JobOutcome::NotApproved => "✋",
        JobOutcome::Unknown => "❔",
    }
}
