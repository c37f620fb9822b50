//! Pipelines: their configurations, and the request that starts one.

use axum::{http::StatusCode, response::Response};
use serde_json::{Value, json};

use super::{Call, error, forbidden};
use crate::data::Pipeline;

impl Call<'_> {
    pub(crate) fn applications(&self) -> Response {
        let data = self.shared.data();
        let names = data.applications.keys().filter(|name| !data.lacks(name, "READ"));
        let list: Vec<Value> = names.map(|name| json!({ "name": name, "email": "a@example.org" })).collect();
        self.json(StatusCode::OK, &list.into())
    }

    pub(crate) fn pipeline_configs(&self, application: &str) -> Response {
        let data = self.shared.data();
        // Front50 returns an empty list for an application that does not exist or that the account cannot read.
        // It ignores the case of the name.
        let known = data.applications.iter().find(|(name, _)| name.eq_ignore_ascii_case(application));
        let readable = known.filter(|(name, _)| !data.lacks(name, "READ"));
        let pipelines = readable.into_iter().flat_map(|(name, list)| list.iter().map(move |pipeline| (name, pipeline)));
        let list: Vec<Value> = pipelines.map(|(name, pipeline)| config(name, pipeline)).collect();
        self.json(StatusCode::OK, &list.into())
    }

    pub(crate) fn trigger(&self, application: &str, name_or_id: &str) -> Response {
        let mut data = self.shared.data();
        if data.lacks(application, "EXECUTE") {
            return forbidden();
        }
        let Some(pipeline) = data.pipeline(application, name_or_id) else {
            let message = format!("Pipeline configuration not found (id: {name_or_id})");
            return error(StatusCode::NOT_FOUND, &message);
        };
        // Gate checks only parameters without any default.
        let given = &self.body["parameters"];
        let missing = |parameter: &&Value| {
            let name = parameter["name"].as_str().unwrap_or_default();
            parameter["required"] == true && parameter["default"].is_null() && given[name].is_null()
        };
        if let Some(parameter) = pipeline.parameters.iter().find(missing) {
            let name = parameter["name"].as_str().unwrap_or_default();
            return error(StatusCode::BAD_REQUEST, &format!("Required parameter {name} is missing"));
        }
        let is_disabled = pipeline.is_disabled;
        if let Some(id) = self.body["correlationId"].as_str().and_then(|id| data.correlated(id)) {
            return self.json(StatusCode::ACCEPTED, &json!({ "ref": format!("/pipelines/{id}") }));
        }
        let mut trigger = self.body.clone();
        trigger["notifications"] = json!([]);
        if is_disabled {
            // Orca stores an execution that failed, and answers with an error.
            let why = "Pipeline is disabled and cannot be started.";
            data.start(application, name_or_id, trigger, Some(why));
            let text = format!("Status: 400, URL: http://orca:8083/orchestrate, Message: {why}");
            return error(StatusCode::BAD_REQUEST, &text);
        }
        let id = data.start(application, name_or_id, trigger, None);
        self.json(StatusCode::ACCEPTED, &json!({ "ref": format!("/pipelines/{id}") }))
    }
}

fn config(application: &str, pipeline: &Pipeline) -> Value {
    let mut config = json!({
        "id": pipeline.id, "name": pipeline.name, "application": application, "disabled": pipeline.is_disabled,
        "parameterConfig": pipeline.parameters, "stages": pipeline.stages, "triggers": [], "index": 0,
        "keepWaitingPipelines": false, "limitConcurrent": true,
    });
    if pipeline.is_templated {
        config["type"] = "templatedPipeline".into();
    }
    config
}
