//! Jobs: their description, and the triggers of builds.

use axum::{
    http::{StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::{Value, json};

use super::{Call, error, not_found};
use crate::data::{Data, Job, Parameter, Scheduled};

const BUILD: &str = "hudson.model.Item.Build";

impl Call<'_> {
    pub(crate) fn job(&self, name: &str) -> Response {
        let data = self.shared.data();
        let body = match data.jobs.get(name) {
            Some(job) => self.describe(name, job),
            None if data.folders.contains(name) => {
                json!({ "_class": "com.cloudbees.hudson.plugins.folder.Folder", "fullName": name, "jobs": [] })
            }
            None => return not_found(),
        };
        drop(data);
        self.json(body)
    }

    /// `GET api/json`: all items, in their folders.
    pub(crate) fn root(&self) -> Response {
        let data = self.shared.data();
        let body = json!({ "_class": "hudson.model.Hudson", "jobs": items(&data, "") });
        drop(data);
        self.json(body)
    }

    fn describe(&self, name: &str, job: &Job) -> Value {
        let class = if job.is_pipeline {
            "org.jenkinsci.plugins.workflow.job.WorkflowJob"
        } else {
            "hudson.model.FreeStyleProject"
        };
        let definition = |parameter: &Parameter| {
            let mut body = json!({
                "_class": format!("hudson.model.{}", parameter.kind), "name": parameter.name, "type": parameter.kind,
                "description": Value::Null, "defaultParameterValue": { "value": parameter.default },
            });
            if !parameter.choices.is_empty() {
                body["choices"] = json!(parameter.choices);
            }
            body
        };
        let mut property = vec![json!({ "_class": "jenkins.model.BuildDiscarderProperty" })];
        if let Some(parameters) = &job.parameters {
            let definitions: Vec<Value> = parameters.iter().map(definition).collect();
            property.push(json!({
                "_class": "hudson.model.ParametersDefinitionProperty", "parameterDefinitions": definitions,
            }));
        }
        let url = self.job_url(name);
        let builds: Vec<Value> =
            job.builds.iter().rev().map(|(number, build)| Self::describe_build(&url, *number, build)).collect();
        json!({
            "_class": class,
            "name": name.rsplit('/').next(),
            "fullName": name,
            "url": url,
            "buildable": !job.is_disabled,
            "nextBuildNumber": job.next_number,
            "property": property,
            "builds": builds.iter().take(100).collect::<Vec<_>>(),
            "allBuilds": builds,
        })
    }

    /// `POST JOB/build`.
    pub(crate) fn build_plain(&self, name: &str) -> Response {
        if let Some(answer) = self.refuse_build(name) {
            return answer;
        }
        let has_parameters = self.shared.data().jobs.get(name).is_some_and(|job| job.parameters.is_some());
        if has_parameters {
            return error(StatusCode::BAD_REQUEST, "This page expects a form submission but had no JSON");
        }
        let scheduled = self.shared.data().schedule(name, &self.user, Vec::new());
        self.scheduled(scheduled)
    }

    /// `POST JOB/buildWithParameters`.
    pub(crate) fn build_with_parameters(&self, name: &str) -> Response {
        if let Some(answer) = self.refuse_build(name) {
            return answer;
        }
        let defined = self.shared.data().jobs.get(name).and_then(|job| job.parameters.clone());
        let Some(defined) = defined else {
            return error(StatusCode::BAD_REQUEST, "This build is not parameterized!");
        };
        let mut values = Vec::new();
        for parameter in defined {
            let given = self.parameter(&parameter.name);
            let value = match parameter.kind.as_str() {
                "ChoiceParameterDefinition"
                    if given.is_some_and(|given| !parameter.choices.iter().any(|choice| choice == given)) =>
                {
                    return error(StatusCode::INTERNAL_SERVER_ERROR, "Illegal choice for parameter");
                }
                "BooleanParameterDefinition" => given.unwrap_or_default().eq_ignore_ascii_case("true").to_string(),
                _ => given.unwrap_or(&parameter.default).to_owned(),
            };
            values.push((parameter.name, value));
        }
        let scheduled = self.shared.data().schedule(name, &self.user, values);
        self.scheduled(scheduled)
    }

    /// Returns the answer to a request for a build that is refused.
    fn refuse_build(&self, name: &str) -> Option<Response> {
        if !self.is_post {
            return Some(error(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"));
        }
        match self.shared.data().jobs.get(name) {
            None => return Some(not_found()),
            Some(job) if job.is_disabled => return Some(error(StatusCode::CONFLICT, "the job is not buildable")),
            Some(_) => {}
        }
        self.lacks(BUILD).then(|| self.forbidden(BUILD))
    }

    fn scheduled(&self, scheduled: Scheduled) -> Response {
        let status = if scheduled.is_merged { StatusCode::SEE_OTHER } else { StatusCode::CREATED };
        let location = self.url_of(&format!("queue/item/{}/", scheduled.item));
        (status, [(header::LOCATION, location)]).into_response()
    }
}

/// Returns the items of a folder, whose full name ends with a slash; an empty name is the root.
fn items(data: &Data, folder: &str) -> Vec<Value> {
    let is_in = |name: &&String| name.strip_prefix(folder).is_some_and(|rest| !rest.is_empty() && !rest.contains('/'));
    let folders = data.folders.iter().filter(is_in).map(|name| {
        json!({
            "_class": "com.cloudbees.hudson.plugins.folder.Folder", "fullName": name,
            "jobs": items(data, &format!("{name}/")),
        })
    });
    let jobs = data.jobs.keys().filter(is_in);
    folders.chain(jobs.map(|name| json!({ "_class": "hudson.model.FreeStyleProject", "fullName": name }))).collect()
}
