//! Converts the exit status of a program to the engine's [`RunEnd`], the end of a pipeline run.

use std::{collections::BTreeMap, time::Duration};

use rustix::process::WaitStatus;
use wardroom::{Timestamp, adapter::RunEnd, base::spoken_duration, model::Outcome};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StopReason {
    Cancelled,
    /// The pipeline run exceeded this timeout.
    TimedOut(Duration),
    /// The program or other processes of the run could not be killed.
    Unkillable,
}

/// Converts a program's exit status to the end of its pipeline run. `status` is `None` if the exit status is unknown.
/// `stop` is the reason why the supervisor stopped the program; `None` if the program ended by itself. `step` is the
/// last step that the program reported.
pub(crate) fn ended(
    status: Option<WaitStatus>,
    stop: Option<StopReason>,
    step: Option<String>,
    started: Timestamp,
    ended: Timestamp,
) -> RunEnd {
    let code = status.and_then(WaitStatus::exit_status);
    let signal = status.and_then(WaitStatus::terminating_signal);
    let (outcome, reason) = match (stop, code, signal) {
        (Some(StopReason::Cancelled), ..) => (Outcome::Cancelled, "cancelled".to_owned()),
        (Some(StopReason::TimedOut(limit)), ..) => {
            (Outcome::Failed, format!("timed out after {}", spoken_duration(limit)))
        }
        (Some(StopReason::Unkillable), ..) => {
            (Outcome::Failed, "processes of the run are still running and cannot be killed".to_owned())
        }
        (None, Some(0), _) => (Outcome::Succeeded, String::new()),
        (None, Some(code), _) => (Outcome::Failed, format!("exit code {code}")),
        (None, None, Some(signal)) => (Outcome::Failed, format!("killed by signal {signal}")),
        (None, None, None) => (Outcome::Unknown, "the exit code is unknown".to_owned()),
    };
    let message = match &step {
        Some(step) if outcome != Outcome::Succeeded => format!("in step {step} ({reason})"),
        _ => reason,
    };
    let mut details = BTreeMap::new();
    details.extend(code.map(|code| ("exit-code".to_owned(), code.to_string())));
    details.extend(signal.map(|signal| ("signal".to_owned(), signal.to_string())));
    details.extend(step.map(|step| ("step".to_owned(), step)));
    RunEnd { outcome, message, started, ended, details }
}

/// Returns the result of a pipeline run whose supervisor died: the outcome `unknown` and the message `interrupted`.
/// `detected` is the time at which the host found that the supervisor had died. It becomes the end time of the run.
pub(crate) fn interrupted(started: Timestamp, detected: Timestamp) -> RunEnd {
    RunEnd {
        outcome: Outcome::Unknown,
        message: "interrupted".to_owned(),
        started,
        ended: detected,
        details: BTreeMap::new(),
    }
}
