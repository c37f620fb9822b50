//! Executions: one, a list, a search, and the requests that change one.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use serde_json::Value;

use super::{Call, error, forbidden};
use crate::{
    data::{Data, is_complete, unexpanded, with},
    faults::Faults,
};

impl Call<'_> {
    pub(crate) fn execution(&self, id: &str) -> Response {
        if Faults::use_up(&mut self.shared.faults().empty_answers) {
            return StatusCode::OK.into_response();
        }
        let is_behind = Faults::use_up(&mut self.shared.faults().invisible_reads);
        let data = self.shared.data();
        match data.executions.get(id).filter(|_| !is_behind) {
            Some(execution) if !can_read(&data, execution) => forbidden(),
            Some(execution) => {
                let padding = " ".repeat(self.shared.faults().large_details);
                let headers = [(header::CONTENT_TYPE, "application/json;charset=UTF-8")];
                (headers, format!("{execution}{padding}")).into_response()
            }
            None => unknown(id),
        }
    }

    pub(crate) fn executions(&self) -> Response {
        let ids = self.parameter("executionIds");
        if let Some(pipelines) = self.parameter("pipelineConfigIds") {
            return self.newest(pipelines);
        }
        if self.shared.faults().old_gate || ids.is_none() {
            let text = "Required String parameter 'pipelineConfigIds' is not present";
            return error(StatusCode::BAD_REQUEST, text);
        }
        let is_behind = Faults::use_up(&mut self.shared.faults().invisible_reads);
        let data = self.shared.data();
        let known = ids.unwrap_or_default().split(',').filter_map(|id| data.executions.get(id));
        let list = known.filter(|execution| !is_behind && can_read(&data, execution));
        let expand = self.parameter("expand") != Some("false");
        let list: Vec<Value> =
            list.map(|execution| if expand { execution.clone() } else { unexpanded(execution) }).collect();
        self.json(StatusCode::OK, &list.into())
    }

    /// Returns the newest executions of each pipeline, oldest first.
    fn newest(&self, pipelines: &str) -> Response {
        let limit: usize = self.parameter("limit").and_then(|limit| limit.parse().ok()).unwrap_or(1);
        let data = self.shared.data();
        let mut list = Vec::new();
        for pipeline in pipelines.split(',') {
            let of_pipeline = data.executions.values().rev();
            let of_pipeline = of_pipeline.filter(|execution| execution["pipelineConfigId"] == pipeline);
            list.extend(of_pipeline.filter(|execution| can_read(&data, execution)).take(limit).map(unexpanded));
        }
        list.reverse();
        self.json(StatusCode::OK, &list.into())
    }

    pub(crate) fn search(&self, application: &str) -> Response {
        let data = self.shared.data();
        if data.lacks(application, "READ") {
            return forbidden();
        }
        let number = |name: &str, default: i64| self.parameter(name).map_or(Ok(default), str::parse);
        let (Ok(since), Ok(size)) = (number("triggerTimeStartBoundary", 0), number("size", 10)) else {
            return error(StatusCode::BAD_REQUEST, "Failed to convert value of type 'String' to required type 'long'");
        };
        if since < 0 {
            let text = format!("triggerTimeStartBoundary must be >= 0: triggerTimeStartBoundary={since}");
            return error(StatusCode::BAD_REQUEST, &text);
        }
        let trigger = self.parameter("trigger").map(|text| {
            let bytes = base64::engine::general_purpose::STANDARD.decode(text).ok()?;
            serde_json::from_slice::<Value>(&bytes).ok()
        });
        let wanted = match trigger {
            Some(None) => return error(StatusCode::INTERNAL_SERVER_ERROR, "Failed to parse encoded trigger"),
            Some(Some(wanted)) => wanted,
            None => Value::Null,
        };
        // Only the pipelines that exist now are searched.
        let name = self.parameter("pipelineName").filter(|name| !name.is_empty());
        let pipelines = data.applications.get(application).map(Vec::as_slice).unwrap_or_default();
        let searched: Vec<&str> = pipelines
            .iter()
            .filter(|pipeline| name.is_none_or(|name| pipeline.name == name))
            .map(|pipeline| pipeline.id.as_str())
            .collect();
        let fits = |execution: &&Value| {
            searched.iter().any(|id| execution["pipelineConfigId"] == *id)
                && execution["buildTime"].as_i64().is_some_and(|built| built >= since)
                && contains(&execution["trigger"], &wanted)
        };
        let found = data.executions.values().rev().filter(fits).take(usize::try_from(size).unwrap_or_default());
        let expand = self.parameter("expand") == Some("true");
        let list: Vec<Value> =
            found.map(|execution| if expand { execution.clone() } else { unexpanded(execution) }).collect();
        self.json(StatusCode::OK, &list.into())
    }

    pub(crate) fn cancel(&self, id: &str) -> Response {
        let mut data = self.shared.data();
        let Some(execution) = data.executions.get(id) else { return unknown(id) };
        let (application, pipeline) = (text(&execution["application"]), text(&execution["pipelineConfigId"]));
        if data.lacks(&application, "EXECUTE") {
            return forbidden();
        }
        let is_open = !is_complete(execution);
        let is_forced = self.parameter("force") == Some("true");
        data.cancellations.entry(id.to_owned()).or_default().push(is_forced);
        let needs_force = data.pipeline(&application, &pipeline).is_some_and(|pipeline| pipeline.needs_force);
        if is_open && (is_forced || !needs_force) {
            data.set_status(id, "CANCELED");
            let reason = self.parameter("reason").unwrap_or_default().to_owned();
            if let Some(execution) = data.executions.get_mut(id) {
                execution["canceled"] = true.into();
                execution["canceledBy"] = "bot".into();
                execution["cancellationReason"] = reason.into();
            }
        }
        StatusCode::OK.into_response()
    }

    pub(crate) fn update_stage(&self, id: &str, stage: &str) -> Response {
        let mut data = self.shared.data();
        let Some(execution) = data.executions.get(id) else { return unknown(id) };
        if data.lacks(&text(&execution["application"]), "EXECUTE") {
            return forbidden();
        }
        let Some(found) = data.stage(id, stage) else { return unknown(stage) };
        found["context"] = with(found["context"].take(), &self.body);
        found["context"]["lastModifiedBy"] = "bot".into();
        let is_judgement = found["type"] == "manualJudgment" && found["status"] == "RUNNING";
        let answer = self.json(StatusCode::OK, &data.executions[id]);
        drop(data);
        if is_judgement {
            let (shared, id, stage) = (self.shared.clone(), id.to_owned(), stage.to_owned());
            let delay = shared.faults().judgement_delay;
            tokio::spawn(async move {
                tokio::time::sleep(delay).await;
                shared.data().judge(&id, &stage);
            });
        }
        answer
    }
}

fn can_read(data: &Data, execution: &Value) -> bool {
    !data.lacks(&text(&execution["application"]), "READ")
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}

fn unknown(id: &str) -> Response {
    error(StatusCode::NOT_FOUND, &format!("Pipeline not found (id: {id})"))
}

/// Returns whether a trigger has the wanted fields. Texts are compared without regard to case.
fn contains(trigger: &Value, wanted: &Value) -> bool {
    let is_same = |(name, value): (&String, &Value)| match (trigger[name].as_str(), value.as_str()) {
        (Some(has), Some(value)) => has.eq_ignore_ascii_case(value),
        _ => trigger[name] == *value,
    };
    wanted.as_object().is_none_or(|wanted| wanted.iter().all(is_same))
}
