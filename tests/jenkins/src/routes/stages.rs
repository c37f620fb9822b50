//! The stages and input steps of builds of a pipeline.

use axum::{
    http::StatusCode,
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Call, error, not_found};

const BUILD: &str = "hudson.model.Item.Build";

impl Call<'_> {
    pub(crate) fn describe_stages(&self, job: &str, number: &str) -> Response {
        let mut data = self.shared.data();
        if !data.jobs.get(job).is_some_and(|job| job.is_pipeline) {
            return not_found();
        }
        let Some(build) = number.parse().ok().and_then(|number| data.build(job, number)) else { return not_found() };
        let stages = (0_u32..).zip(&build.stages);
        let stages: Vec<Value> = stages
            .map(|(at, (name, status))| {
                json!({ "id": (at * 3 + 5).to_string(), "name": name, "status": status, "durationMillis": 1500 })
            })
            .collect();
        let status = match &build.result {
            Some(result) => result.as_str(),
            None if !build.inputs.is_empty() => "PAUSED_PENDING_INPUT",
            None => "IN_PROGRESS",
        };
        let body = json!({ "id": number, "name": format!("#{number}"), "status": status, "stages": stages });
        drop(data);
        self.json(body)
    }

    pub(crate) fn inputs(&self, job: &str, number: &str) -> Response {
        let mut data = self.shared.data();
        let Some(build) = number.parse().ok().and_then(|number| data.build(job, number)) else { return not_found() };
        let input = |(id, message): &(String, String)| {
            json!({
                "id": id, "proceedText": "Proceed", "message": message, "inputs": [],
                "abortUrl": format!("/job/x/{number}/input/{id}/abort"),
            })
        };
        let inputs: Vec<Value> = build.inputs.iter().map(input).collect();
        drop(data);
        self.json(inputs.into())
    }

    pub(crate) fn answer_input(&self, job: &str, number: &str, id: &str, verb: &str) -> Response {
        if !self.is_post {
            return error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed");
        }
        if self.lacks(BUILD) {
            return self.forbidden(BUILD);
        }
        let number: u64 = number.parse().unwrap_or_default();
        let mut data = self.shared.data();
        let Some(build) = data.build(job, number) else { return not_found() };
        let before = build.inputs.len();
        build.inputs.retain(|(known, _)| known != id);
        if build.inputs.len() == before {
            return not_found();
        }
        build.signals.push(verb.to_owned());
        if verb == "abort" {
            data.end(job, number, "ABORTED");
        }
        StatusCode::OK.into_response()
    }
}
