//! Reading, creating and patching objects, with the checks of the API server and of the admission webhooks.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Map, Value, json};

use super::{Call, status};
use crate::{
    data::{Data, Id, merge},
    faults::Faults,
};

/// The fields of a PipelineRun's specification in `tekton.dev/v1`.
const SPEC: [&str; 9] = [
    "pipelineRef",
    "pipelineSpec",
    "params",
    "status",
    "timeouts",
    "taskRunTemplate",
    "workspaces",
    "taskRunSpecs",
    "managedBy",
];
const WEBHOOK: &str = "validation.webhook.pipeline.tekton.dev";
const APPROVAL_WEBHOOK: &str = "validation.webhook.manual-approval.openshift-pipelines.org";

impl Call<'_> {
    pub(super) fn object(&self) -> Response {
        match self.verb {
            "list" => self.list(),
            "create" => self.create(),
            "patch" => self.patch(),
            _ => match self.shared.data().objects.get(&self.id(&self.name)) {
                Some(object) => axum::Json(object.clone()).into_response(),
                None => self.not_found(),
            },
        }
    }

    fn id(&self, name: &str) -> Id {
        (self.resource.clone(), self.namespace.clone(), name.to_owned())
    }

    fn not_found(&self) -> Response {
        status(404, "NotFound", &format!("{} \"{}\" not found", self.qualified(), self.name))
    }

    /// Lists objects. A namespace that does not exist has none.
    fn list(&self) -> Response {
        let data = self.shared.data();
        let selector = self.query("labelSelector").unwrap_or_default();
        let of_namespace = data
            .objects
            .iter()
            .filter(|((kind, namespace, _), _)| *kind == self.resource && *namespace == self.namespace);
        let items: Vec<&Value> =
            of_namespace.map(|(_, object)| object).filter(|object| selects(selector, &object["metadata"])).collect();
        let mut body = json!({ "kind": "List", "metadata": { "resourceVersion": "1" }, "items": items }).to_string();
        body.push_str(&" ".repeat(self.shared.faults().padding));
        ([(header::CONTENT_TYPE, "application/json")], body).into_response()
    }

    fn create(&self) -> Response {
        if !self.shared.data().namespaces.contains(&self.namespace) {
            return status(404, "NotFound", &format!("namespaces \"{}\" not found", self.namespace));
        }
        let Ok(mut object) = serde_json::from_slice::<Value>(&self.body) else {
            return status(400, "BadRequest", "error decoding: invalid character");
        };
        // 1. Fields that the API does not have.
        let unknown = unknown_fields(&mut object);
        if let (Some(field), Some("Strict")) = (unknown.first(), self.query("fieldValidation")) {
            let message = format!(
                "PipelineRun in version \"v1\" cannot be handled as a PipelineRun: strict decoding error: unknown field \
                 \"{field}\""
            );
            return status(400, "BadRequest", &message);
        }
        // 2. The admission webhook of Tekton.
        {
            let mut faults = self.shared.faults();
            if Faults::use_up(&mut faults.webhook_timeouts) {
                let message = format!(
                    "Internal error occurred: failed calling webhook \"{WEBHOOK}\": failed to call webhook: Post \
                     \"https://tekton-pipelines-webhook.tekton-pipelines.svc:443/?timeout=10s\": context deadline exceeded"
                );
                return status(500, "InternalError", &message);
            }
            if !faults.webhook_refusal.is_empty() {
                return denied(WEBHOOK, &faults.webhook_refusal);
            }
        }
        // 3. The name.
        let name = object["metadata"]["name"].as_str().unwrap_or_default().to_owned();
        let is_valid = !name.is_empty()
            && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte));
        if !is_valid {
            let message = format!("{} \"{name}\" is invalid: metadata.name: Invalid value", self.qualified());
            return status(422, "Invalid", &message);
        }
        let mut data = self.shared.data();
        if data.objects.contains_key(&self.id(&name)) {
            let message = format!("{} \"{name}\" already exists", self.qualified());
            return status(409, "AlreadyExists", &message);
        }
        data.put(self.id(&name), object);
        if !data.is_held {
            data.begin(&name);
        }
        let created = data.objects.get(&self.id(&name)).cloned().unwrap_or_default();
        let mut answer = (StatusCode::CREATED, axum::Json(created)).into_response();
        for field in unknown {
            if let Ok(warning) = format!("299 - \"unknown field \\\"{field}\\\"\"").parse() {
                answer.headers_mut().append(header::WARNING, warning);
            }
        }
        answer
    }

    fn patch(&self) -> Response {
        if self.content_type != "application/merge-patch+json" {
            let message = "the body of the request was in an unknown format - accepted media types include: \
                           application/json-patch+json, application/merge-patch+json, application/apply-patch+yaml";
            return status(415, "UnsupportedMediaType", message);
        }
        let Ok(patch) = serde_json::from_slice::<Value>(&self.body) else {
            return status(400, "BadRequest", "error decoding patch: invalid character");
        };
        let is_rivalled = self.resource == "approvaltasks" && Faults::use_up(&mut self.shared.faults().rival_votes);
        let mut data = self.shared.data();
        if is_rivalled && let Some(mut task) = data.objects.get(&self.id(&self.name)).cloned() {
            task["spec"]["approvers"][0]["input"] = json!("approve");
            data.put(self.id(&self.name), task);
        }
        let Some(old) = data.objects.get(&self.id(&self.name)).cloned() else { return self.not_found() };
        // 1. Preconditions.
        for (field, what) in [("uid", "UID"), ("resourceVersion", "resource version")] {
            let wanted = &patch["metadata"][field];
            if !wanted.is_null() && *wanted != old["metadata"][field] {
                let message = format!(
                    "Operation cannot be fulfilled on {} \"{}\": the object has been modified; please apply your changes \
                     to the latest version and try again ({what})",
                    self.qualified(),
                    self.name
                );
                return status(409, "Conflict", &message);
            }
        }
        let mut new = old.clone();
        merge(&mut new, &patch);
        // 2. The admission webhooks.
        let refusal = match self.resource.as_str() {
            "approvaltasks" => vote_refusal(&old, &new, &self.user.name),
            _ if is_done(&old) => Some(
                "validation failed: invalid value: Once the PipelineRun is complete, no updates are allowed".to_owned(),
            ),
            _ => None,
        };
        if let Some(refusal) = refusal {
            return if self.resource == "approvaltasks" {
                denied(APPROVAL_WEBHOOK, &refusal)
            } else {
                denied(WEBHOOK, &refusal)
            };
        }
        let how = patch["spec"]["status"].as_str().map(str::to_owned);
        data.put(self.id(&self.name), new);
        if self.resource == "approvaltasks" {
            decide(&mut data, &self.id(&self.name));
        } else if let Some(how) = how {
            data.stopped(&self.name, &how);
        }
        axum::Json(data.objects.get(&self.id(&self.name)).cloned().unwrap_or_default()).into_response()
    }
}

fn denied(webhook: &str, text: &str) -> Response {
    status(400, "BadRequest", &format!("admission webhook \"{webhook}\" denied the request: {text}"))
}

fn is_done(object: &Value) -> bool {
    matches!(object["status"]["conditions"][0]["status"].as_str(), Some("True" | "False"))
}

/// Returns whether a label selector of the forms `a=b` and `a in (b,c)` selects an object.
fn selects(selector: &str, metadata: &Value) -> bool {
    if selector.is_empty() {
        return true;
    }
    let label = |name: &str| metadata["labels"][name].as_str().unwrap_or_default().to_owned();
    match selector.split_once(" in (") {
        Some((name, values)) => values.trim_end_matches(')').split(',').any(|value| value == label(name)),
        None => selector.split_once('=').is_some_and(|(name, value)| value == label(name)),
    }
}

/// Removes fields that the API does not have, and returns their paths.
fn unknown_fields(object: &mut Value) -> Vec<String> {
    let mut unknown = Vec::new();
    let mut check = |fields: Option<&mut Map<String, Value>>, known: &[&str], path: &str| {
        let Some(fields) = fields else { return };
        unknown
            .extend(fields.keys().filter(|name| !known.contains(&name.as_str())).map(|name| format!("{path}{name}")));
        fields.retain(|name, _| known.contains(&name.as_str()));
    };
    check(object["spec"].as_object_mut(), &SPEC, "spec.");
    check(
        object["metadata"].as_object_mut(),
        &["name", "namespace", "labels", "annotations", "generateName"],
        "metadata.",
    );
    check(object.as_object_mut(), &["apiVersion", "kind", "metadata", "spec", "status"], "");
    unknown
}

/// Returns why the webhook of the Manual Approval Gate denies a vote.
fn vote_refusal(old: &Value, new: &Value, user: &str) -> Option<String> {
    if matches!(old["status"]["state"].as_str(), Some("approved" | "rejected")) {
        return Some("ApprovalTask has already reached its final state".to_owned());
    }
    let approvers = |task: &Value| task["spec"]["approvers"].as_array().cloned().unwrap_or_default();
    let (old, new) = (approvers(old), approvers(new));
    if !old.iter().any(|approver| approver["name"] == user) {
        return Some("User does not exist in the approval list".to_owned());
    }
    let others_same = old.len() == new.len()
        && old.iter().zip(&new).all(|(old, new)| old["name"] == user || old["input"] == new["input"]);
    let is_valid = new
        .iter()
        .find(|approver| approver["name"] == user)
        .is_some_and(|own| matches!(own["input"].as_str(), Some("approve" | "reject")));
    (!others_same || !is_valid).then(|| "User can only update their own approval input".to_owned())
}

/// Lets the controller of the Manual Approval Gate count the votes.
fn decide(data: &mut Data, id: &Id) {
    let Some(mut task) = data.objects.get(id).cloned() else { return };
    let approvers = task["spec"]["approvers"].as_array().cloned().unwrap_or_default();
    let count = |input: &str| approvers.iter().filter(|approver| approver["input"] == input).count() as u64;
    let needed = task["spec"]["numberOfApprovalsRequired"].as_u64().unwrap_or(1);
    let state = if count("reject") > 0 {
        "rejected"
    } else if count("approve") >= needed {
        "approved"
    } else {
        "pending"
    };
    task["status"]["state"] = json!(state);
    data.put(id.clone(), task);
}
