//! Converts the end of an execution to the engine's [`RunEnd`].

use std::collections::BTreeMap;

use wardroom::{
    Timestamp,
    adapter::{RunEnd, RunProgress, RunView},
    model::Outcome,
};
use wardroom_remote::{Open, Server};

use crate::{
    client::{Execution, Status},
    stages::{failures, one_line},
    system::Spinnaker,
};

/// Converts an execution that has ended. `url` is its page for people.
pub(crate) fn execution_end(
    server: &Server,
    open: &Open<Spinnaker>,
    execution: &Execution,
    url: Option<String>,
) -> RunEnd {
    let (outcome, message) = result(execution);
    let mut details = BTreeMap::from([
        ("execution".to_owned(), execution.id.clone()),
        ("status".to_owned(), one_line(&execution.status)),
    ]);
    details.extend(url.map(|url| ("url".to_owned(), url)));
    if outcome == Outcome::Succeeded {
        let ignored = failures(execution, Status::is_failure);
        if !ignored.is_empty() {
            details.insert(RunEnd::NOTE.to_owned(), format!("Spinnaker ignored a failure {ignored}."));
        }
    }
    let time = |millis: Option<i64>| millis.map(|at| server.host_time(at));
    let started = time(execution.start_time.or(execution.build_time)).unwrap_or(open.requested);
    let ended = time(execution.end_time).unwrap_or_else(Timestamp::now);
    RunEnd { outcome, message, started, ended: ended.max(started), details }
}

fn result(execution: &Execution) -> (Outcome, String) {
    let text = |text: &Option<String>| text.as_deref().map(one_line).filter(|text| !text.is_empty());
    let reason = text(&execution.cancellation_reason);
    match execution.status() {
        Status::Succeeded => (Outcome::Succeeded, String::new()),
        Status::Cancelled => {
            let by = text(&execution.canceled_by).map(|by| format!(" by {by}")).unwrap_or_default();
            let why = reason.map(|reason| format!(": {reason}")).unwrap_or_default();
            (Outcome::Cancelled, format!("the execution was cancelled in Spinnaker{by}{why}"))
        }
        Status::Skipped => (Outcome::Cancelled, "Spinnaker skipped the execution".to_owned()),
        _ => {
            let failed = failures(execution, Status::is_failure);
            // An execution that cannot begin has no stage that failed: `Failed on startup: …`.
            let other = reason.unwrap_or_else(|| format!("the execution ended with {}", one_line(&execution.status)));
            (Outcome::Failed, if failed.is_empty() { other } else { failed })
        }
    }
}

/// Converts an execution of a list.
pub(crate) fn execution_view(server: &Server, execution: &Execution, url: Option<String>) -> RunView {
    let status = execution.status();
    let ended = status.is_complete().then(|| result(execution));
    let time = |millis: Option<i64>| millis.map(|at| server.host_time(at));
    RunView {
        id: execution.id.clone(),
        is_waiting: status == Status::NotStarted,
        outcome: ended.as_ref().map(|(outcome, _)| *outcome),
        message: ended.map(|(_, message)| message).unwrap_or_default(),
        started: time(execution.start_time),
        ended: time(execution.end_time),
        url,
        progress: RunProgress::default(),
    }
}

/// The end of a run whose execution is gone.
pub(crate) fn end_without_execution(open: &Open<Spinnaker>) -> RunEnd {
    let now = Timestamp::now();
    RunEnd {
        outcome: Outcome::Unknown,
        message: format!("the execution `{}` was deleted in Spinnaker while the host waited for it", open.run.id),
        started: open.requested.min(now),
        ended: now,
        details: BTreeMap::from([("execution".to_owned(), open.run.id.clone())]),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_status_has_an_outcome() {
        let failed = r#""stages":[{"id":"a","name":"Deploy","status":"TERMINAL"}]"#;
        for (fields, outcome, message) in [
            (r#""status":"SUCCEEDED""#.to_owned(), Outcome::Succeeded, ""),
            (
                format!(r#""status":"TERMINAL",{failed}"#),
                Outcome::Failed,
                "in stage Deploy: the stage ended with TERMINAL",
            ),
            (r#""status":"STOPPED""#.to_owned(), Outcome::Failed, "the execution ended with STOPPED"),
            (r#""status":"FAILED_CONTINUE""#.to_owned(), Outcome::Failed, "the execution ended with FAILED_CONTINUE"),
            (
                r#""status":"TERMINAL","canceledBy":"system","cancellationReason":"Failed on startup: no\nartifact""#
                    .to_owned(),
                Outcome::Failed,
                "Failed on startup: no artifact",
            ),
            (
                r#""status":"CANCELED","canceledBy":"alice","cancellationReason":"wrong version""#.to_owned(),
                Outcome::Cancelled,
                "the execution was cancelled in Spinnaker by alice: wrong version",
            ),
            (r#""status":"CANCELED""#.to_owned(), Outcome::Cancelled, "the execution was cancelled in Spinnaker"),
            (r#""status":"SKIPPED""#.to_owned(), Outcome::Cancelled, "Spinnaker skipped the execution"),
        ] {
            let execution: Execution = serde_json::from_str(&format!(r#"{{"id":"01J",{fields}}}"#)).unwrap();
            assert_eq!(result(&execution), (outcome, message.to_owned()), "{fields}");
        }
    }
}
