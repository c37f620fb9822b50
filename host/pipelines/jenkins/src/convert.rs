//! Converts builds and parameters to the engine's types.

use std::collections::BTreeMap;

use wardroom::{
    Timestamp,
    adapter::{ParameterDescription, RunEnd, RunProgress, RunView},
    base::clean,
    model::Outcome,
};
use wardroom_remote::Open;

use crate::{
    client::{Build, Client, ParameterDefinition},
    job_path::JobPath,
    system::Jenkins,
};

/// Converts a build that has ended.
pub(crate) fn build_end(client: &Client, open: &Open<Jenkins>, build: &Build) -> RunEnd {
    let number = build.number;
    let result = result(build);
    let (outcome, message) = outcome(number, &result);
    let mut notes = Vec::new();
    if result == UNSTABLE {
        notes.push(format!("Jenkins marked build #{number} as unstable."));
    }
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

/// The result of a build whose tests failed.
const UNSTABLE: &str = "UNSTABLE";

fn result(build: &Build) -> String {
    clean(build.result.as_deref().unwrap_or_default()).chars().take(40).collect()
}

/// Returns the outcome of a build, and why it did not succeed.
fn outcome(number: u64, result: &str) -> (Outcome, String) {
    match result {
        "SUCCESS" | UNSTABLE => (Outcome::Succeeded, String::new()),
        "FAILURE" => (Outcome::Failed, format!("build #{number} failed")),
        "ABORTED" => (Outcome::Cancelled, format!("build #{number} was aborted in Jenkins")),
        "NOT_BUILT" => (Outcome::Failed, format!("Jenkins did not build #{number} (NOT_BUILT)")),
        "" => (Outcome::Unknown, format!("build #{number} ended without a result")),
        other => (Outcome::Unknown, format!("build #{number} ended with the unknown result {other}")),
    }
}

/// Converts a build of a list.
pub(crate) fn describe_build(client: &Client, job: &JobPath, build: &Build) -> RunView {
    let ended = (!build.is_running()).then(|| outcome(build.number, &result(build)));
    let time = |millis: Option<i64>| millis.map(|at| client.host_time(at));
    let took = build.duration.filter(|millis| *millis > 0);
    RunView {
        id: build.number.to_string(),
        is_waiting: false,
        outcome: ended.as_ref().map(|(outcome, _)| *outcome),
        message: ended.map(|(_, message)| message).unwrap_or_default(),
        started: time(build.timestamp),
        ended: time(build.timestamp.zip(took).map(|(at, took)| at.saturating_add(took))),
        url: Some(client.build_url(job, build.number)),
        progress: RunProgress::default(),
    }
}

/// Converts a parameter. Jenkins requires no value: a parameter without one has its default.
pub(crate) fn describe_parameter(parameter: &ParameterDefinition) -> ParameterDescription {
    ParameterDescription {
        name: parameter.name.clone(),
        description: parameter.description.clone().unwrap_or_default(),
        required: false,
        default: parameter.default(),
        choices: parameter.choices(),
    }
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
