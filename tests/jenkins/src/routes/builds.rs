//! Builds: their description, their console output, and the requests to stop them.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Call, error, not_found};
use crate::data::Build;

const CANCEL: &str = "hudson.model.Item.Cancel";
/// The number of lines of one response while a build runs.
const MAX_LINES: usize = 10_000;
/// The begin and the end of a console note.
const NOTE: (&[u8], &[u8]) = (b"\x1b[8mha:", b"\x1b[0m");

impl Call<'_> {
    pub(crate) fn build(&self, job: &str, number: &str) -> Response {
        let url = self.job_url(job);
        let found = number.parse().ok().and_then(|number: u64| {
            self.shared.data().build(job, number).map(|build| Self::describe_build(&url, number, build))
        });
        found.map_or_else(not_found, |body| self.json(body))
    }

    pub(crate) fn describe_build(job_url: &str, number: u64, build: &Build) -> Value {
        json!({
            "_class": "hudson.model.FreeStyleBuild",
            "number": number,
            "id": number.to_string(),
            "url": format!("{job_url}{number}/"),
            "displayName": format!("#{number}"),
            "queueId": build.item,
            "building": build.is_building(),
            "inProgress": build.is_building() || build.is_completing,
            "result": build.result,
            "timestamp": build.timestamp,
            "duration": build.duration,
            "estimatedDuration": -1,
            "description": Value::Null,
            "actions": actions(&build.user, &build.parameters),
        })
    }

    pub(crate) fn log(&self, job: &str, number: &str) -> Response {
        let limit = self.shared.faults().log_bytes;
        let mut data = self.shared.data();
        let Some(build) = number.parse().ok().and_then(|number| data.build(job, number)) else { return not_found() };
        let start: usize = self.parameter("start").and_then(|start| start.parse().ok()).unwrap_or_default();
        let is_complete = !build.is_building() && !build.is_completing;
        // An offset after the end counts as the begin.
        let start = if start > build.log.len() { 0 } else { start };
        let mut part = &build.log[start..];
        if !is_complete && limit == 0 {
            let ends = part.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(at, _)| at + 1);
            part = &part[..ends.take(MAX_LINES).last().unwrap_or_default()];
        }
        if limit > 0 {
            part = &part[..part.len().min(limit)];
        }
        let next = start + part.len();
        let text = if limit > 0 { part.to_vec() } else { with_line_ends(&without_notes(part)) };
        let has_more = !is_complete || next < build.log.len();
        let mut answer = ([(header::CONTENT_TYPE, "text/plain;charset=UTF-8")], text).into_response();
        answer.headers_mut().insert("x-text-size", next.into());
        if has_more {
            answer.headers_mut().insert("x-more-data", header::HeaderValue::from_static("true"));
        }
        answer
    }

    pub(crate) fn test_report(&self, job: &str, number: &str) -> Response {
        let mut data = self.shared.data();
        let build = number.parse().ok().and_then(|number: u64| data.build(job, number));
        let Some((passed, failed)) = build.and_then(|build| build.tests.clone()) else { return not_found() };
        drop(data);
        let case = |name: &String| {
            let (class, name) = name.rsplit_once('.').unwrap_or(("", name));
            json!({ "className": class, "name": name, "status": "FAILED" })
        };
        let mut cases: Vec<Value> = failed.iter().map(case).collect();
        cases.push(json!({ "className": "A", "name": "good", "status": "PASSED" }));
        self.json(json!({
            "_class": "hudson.tasks.junit.TestResult", "passCount": passed, "failCount": failed.len(), "skipCount": 0,
            "suites": [{ "cases": cases }],
        }))
    }

    pub(crate) fn stop(&self, job: &str, number: &str, signal: &str) -> Response {
        if !self.is_post {
            return error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        let mut data = self.shared.data();
        let Some((is_pipeline, ends_after)) = data.jobs.get(job).map(|job| (job.is_pipeline, job.ends_after.clone()))
        else {
            return not_found();
        };
        if signal != "stop" && !is_pipeline {
            return not_found();
        }
        let number: u64 = number.parse().unwrap_or_default();
        let Some(build) = data.build(job, number) else { return not_found() };
        let is_building = build.is_building();
        build.signals.push(signal.to_owned());
        let ends = ends_after.is_none_or(|needed| needed == signal);
        drop(data);
        if self.lacks(CANCEL) {
            return self.forbidden(CANCEL);
        }
        if ends && is_building {
            self.shared.data().end(job, number, "ABORTED");
        }
        (StatusCode::FOUND, [(header::LOCATION, self.job_url(job))]).into_response()
    }
}

/// Returns the actions of a build or of a queue item. An action without fields is an empty object.
pub(crate) fn actions(user: &str, parameters: &[(String, String)]) -> Value {
    let parameters: Vec<Value> = parameters
        .iter()
        .map(|(name, value)| json!({ "_class": "hudson.model.StringParameterValue", "name": name, "value": value }))
        .collect();
    let mut actions = vec![
        json!({}),
        json!({ "_class": "hudson.model.CauseAction", "causes": [{
            "_class": "hudson.model.Cause$UserIdCause", "shortDescription": format!("Started by user {user}"),
            "userId": user, "userName": user,
        }] }),
    ];
    if !parameters.is_empty() {
        actions.push(json!({ "_class": "hudson.model.ParametersAction", "parameters": parameters }));
    }
    actions.into()
}

fn without_notes(text: &[u8]) -> Vec<u8> {
    let find = |text: &[u8], mark: &[u8]| {
        let mut starts = text.iter().enumerate().filter(|(_, byte)| **byte == mark[0]);
        starts.find(|(at, _)| text[*at..].starts_with(mark)).map(|(at, _)| at)
    };
    let mut kept = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some(begin) = find(rest, NOTE.0) {
        kept.extend_from_slice(&rest[..begin]);
        let note = &rest[begin..];
        let end = find(note, NOTE.1).map_or(note.len(), |end| end + NOTE.1.len());
        rest = &note[end..];
    }
    kept.extend_from_slice(rest);
    kept
}

fn with_line_ends(text: &[u8]) -> Vec<u8> {
    let mut ended = Vec::with_capacity(text.len());
    let mut last = 0;
    for byte in text {
        if *byte == b'\n' && last != b'\r' {
            ended.push(b'\r');
        }
        ended.push(*byte);
        last = *byte;
    }
    ended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_of_a_log_differs_from_its_bytes() {
        let raw = b"one\n\x1b[8mha:AAAA\x1b[0mtwo\r\n";
        assert_eq!(with_line_ends(&without_notes(raw)), b"one\r\ntwo\r\n");
    }
}
