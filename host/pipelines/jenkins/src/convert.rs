//! Converts the end of a build to the engine's [`RunEnd`].

use std::collections::BTreeMap;

use wardroom::{Timestamp, adapter::RunEnd, base::clean, model::Outcome};
use wardroom_remote::Open;

use crate::{
    client::{Build, Client},
    system::Jenkins,
};

/// Converts a build that has ended.
pub(crate) fn build_end(client: &Client, open: &Open<Jenkins>, build: &Build) -> RunEnd {
    let result: String = clean(build.result.as_deref().unwrap_or_default()).chars().take(40).collect();
    let number = build.number;
    let mut notes = Vec::new();
    let (outcome, message) = match result.as_str() {
        "SUCCESS" => (Outcome::Succeeded, String::new()),
        "UNSTABLE" => {
            notes.push(format!("Jenkins marked build #{number} as unstable."));
            (Outcome::Succeeded, String::new())
        }
        "FAILURE" => (Outcome::Failed, format!("build #{number} failed")),
        "ABORTED" => (Outcome::Cancelled, format!("build #{number} was aborted in Jenkins")),
        "NOT_BUILT" => (Outcome::Failed, format!("Jenkins did not build #{number} (NOT_BUILT)")),
        "" => (Outcome::Unknown, format!("build #{number} ended without a result")),
        other => (Outcome::Unknown, format!("build #{number} ended with the unknown result {other}")),
    };
    if open.run.is_merged() {
        notes.push(format!(
            "Jenkins merged this request with an identical one in its queue; both have the result of build #{number}."
        ));
    }
    let mut details = BTreeMap::from([
        ("build".to_owned(), number.to_string()),
        ("url".to_owned(), client.build_url(&open.request.job, number)),
    ]);
    if !result.is_empty() {
        details.insert("result".to_owned(), result);
    }
    if !notes.is_empty() {
        details.insert(RunEnd::NOTE.to_owned(), notes.join(" "));
    }
    let now = Timestamp::now();
    let started = build.timestamp.map_or(open.requested, |at| client.host_time(at));
    let took = build.duration.filter(|millis| *millis > 0);
    let ended = match (build.timestamp, took) {
        (Some(at), Some(millis)) => client.host_time(at.saturating_add(millis)),
        _ => now,
    };
    RunEnd { outcome, message, started, ended: ended.max(started), details }
}

/// The end of a run that has no build, or whose build is gone.
pub(crate) fn end_without_build(open: &Open<Jenkins>, outcome: Outcome, message: impl Into<String>) -> RunEnd {
    let now = Timestamp::now();
    let details = open.run.number().map(|number| ("build".to_owned(), number.to_string()));
    RunEnd {
        outcome,
        message: message.into(),
        started: open.requested.min(now),
        ended: now,
        details: details.into_iter().collect(),
    }
}
