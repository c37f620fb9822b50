//! The calls of the API that the backend uses.
//!
//! Sources: Gate's `PipelineController.groovy`, `ApplicationController.groovy` and `ExecutionsController.java`; Orca's
//! `TaskController.groovy`.

use std::{
    collections::BTreeMap,
    sync::atomic::{AtomicBool, Ordering},
};

use base64::Engine as _;
use reqwest::{Method, Url};
use serde_json::{Value, json};
use wardroom::Timestamp;
use wardroom_remote::RemoteError;

use super::{
    Call, Client, Execution, PipelineConfig,
    types::{Application, Triggered},
};
use crate::{error::Subject, responses::Request};

/// A search for the execution with a correlation id.
#[derive(Debug)]
pub(crate) struct Search<'s> {
    pub(crate) application: &'s str,
    /// The name that the pipeline has now. Gate searches pipelines by their names.
    pub(crate) pipeline: &'s str,
    pub(crate) correlation_id: &'s str,
    /// The earliest time of the trigger, of the host's clock.
    pub(crate) since: Timestamp,
}

impl Search<'_> {
    /// The number of executions that a search returns at most. Gate's further pages are not complete: it counts the first
    /// result of a page among the results of one page.
    pub(crate) const MAX: usize = 10;
}

/// What is changed by a request, and what it needs.
fn changes(what: String, application: &str) -> Subject {
    Subject { request: Request::Change, what, permission: "EXECUTE", application: Some(application.to_owned()) }
}

fn reads(what: String, application: &str) -> Subject {
    Subject { request: Request::Read, what, permission: "READ", application: Some(application.to_owned()) }
}

impl Client {
    fn call(&self, method: Method, segments: &[&str], subject: Subject) -> Call {
        Call { method, url: below(self.server.url(), segments), query: Vec::new(), body: None, subject }
    }

    /// Returns the names of all applications.
    pub(crate) async fn applications(&self) -> Result<Vec<String>, RemoteError> {
        let subject = Subject { application: None, ..reads("list of applications".to_owned(), "") };
        let answer = self.send(&self.call(Method::GET, &["applications"], subject)).await?;
        let list: Vec<Application> = self.server.json(&answer, "the applications")?;
        Ok(list.into_iter().filter_map(|application| application.name).collect())
    }

    /// Returns the pipelines of an application. It is empty for an application that does not exist.
    pub(crate) async fn pipelines(&self, application: &str) -> Result<Vec<PipelineConfig>, RemoteError> {
        // Gate finds a single pipeline only by its name in a path, which cannot be a name with a slash.
        let subject = reads(format!("pipelines of the application `{application}`"), application);
        let answer =
            self.send(&self.call(Method::GET, &["applications", application, "pipelineConfigs"], subject)).await?;
        self.server.json(&answer, "the pipelines of an application")
    }

    /// Starts an execution. `target` is the id of the pipeline, or its name if it has none. Returns the id of the
    /// execution.
    ///
    /// # Errors
    /// [`RemoteError::may_be_done`] is true if an execution may have been started.
    pub(crate) async fn trigger(
        &self,
        application: &str,
        target: &str,
        what: String,
        correlation_id: &str,
        values: &BTreeMap<String, String>,
    ) -> Result<String, RemoteError> {
        let subject = Subject { request: Request::Trigger, ..changes(what, application) };
        let mut call = self.call(Method::POST, &["pipelines", application, target], subject);
        call.body = Some(json!({
            "type": "manual",
            "user": "wardroom",
            "parameters": values,
            "correlationId": correlation_id,
        }));
        let answer = self.send(&call).await?;
        let triggered: Triggered = self.server.json(&answer, "the start of an execution")?;
        let reference = triggered.reference.unwrap_or_default();
        let id = reference.rsplit('/').next().unwrap_or_default();
        if is_id(id) {
            return Ok(id.to_owned());
        }
        Err(RemoteError::unusable("Gate answered the request to start the pipeline, but named no execution"))
    }

    /// Returns an execution with its details.
    pub(crate) async fn execution(&self, application: &str, id: &str) -> Result<Execution, RemoteError> {
        let details = self.details(application, id).await?;
        details.ok_or_else(|| {
            RemoteError::unusable(format!("the details of the execution `{id}` are too large to be read"))
        })
    }

    /// Returns an execution with its details; `None` if they are too large to be read.
    pub(crate) async fn details(&self, application: &str, id: &str) -> Result<Option<Execution>, RemoteError> {
        let subject = reads(format!("execution `{id}`"), application);
        let answer = self.send(&self.call(Method::GET, &["pipelines", id], subject)).await?;
        if answer.is_too_large {
            return Ok(None);
        }
        let execution: Execution = self.server.json(&answer, "an execution")?;
        if execution.id != id {
            return Err(RemoteError::unusable("the answer is not the execution that was requested; check `url`"));
        }
        Ok(Some(execution))
    }

    /// Returns those of the executions that exist and that the account can see, without their details.
    pub(crate) async fn executions(&self, ids: &[&str]) -> Result<Vec<Execution>, RemoteError> {
        let subject = Subject { application: None, ..reads("list of executions".to_owned(), "") };
        let mut call = self.call(Method::GET, &["executions"], subject);
        call.query = vec![("executionIds", ids.join(",")), ("expand", "false".to_owned())];
        let answer = self.send(&call).await?;
        self.server.json(&answer, "a list of executions")
    }

    /// Returns the newest executions of a pipeline, newest first, without their details.
    pub(crate) async fn newest(
        &self,
        application: &str,
        pipeline: &str,
        most: usize,
    ) -> Result<Vec<Execution>, RemoteError> {
        let subject = reads(format!("executions of the application `{application}`"), application);
        let mut call = self.call(Method::GET, &["executions"], subject);
        call.query = vec![
            ("pipelineConfigIds", pipeline.to_owned()),
            ("limit", most.to_string()),
            ("expand", "false".to_owned()),
        ];
        let answer = self.send(&call).await?;
        let mut list: Vec<Execution> = self.server.json(&answer, "a list of executions")?;
        list.sort_by_key(|execution| std::cmp::Reverse((execution.build_time, execution.id.clone())));
        Ok(list)
    }

    /// Returns the executions that have a correlation id, newest first.
    pub(crate) async fn search(&self, search: &Search<'_>) -> Result<Vec<Execution>, RemoteError> {
        let Search { application, pipeline, correlation_id, since } = search;
        let subject = reads(format!("executions of the application `{application}`"), application);
        let mut call = self.call(Method::GET, &["applications", application, "executions", "search"], subject);
        let trigger = json!({ "correlationId": correlation_id }).to_string();
        call.query = vec![
            ("pipelineName", (*pipeline).to_owned()),
            ("trigger", base64::engine::general_purpose::STANDARD.encode(trigger)),
            ("triggerTimeStartBoundary", self.server.server_time(*since).max(0).to_string()),
            ("size", Search::MAX.to_string()),
        ];
        let answer = self.send(&call).await?;
        self.server.json(&answer, "a search for executions")
    }

    /// Asks for the cancellation of an execution.
    pub(crate) async fn cancel(
        &self,
        application: &str,
        id: &str,
        reason: &str,
        is_forced: bool,
    ) -> Result<(), RemoteError> {
        let subject = changes(format!("execution `{id}`"), application);
        let mut call = self.call(Method::PUT, &["pipelines", id, "cancel"], subject);
        call.query = vec![("reason", reason.to_owned()), ("force", is_forced.to_string())];
        self.send(&call).await.map(drop)
    }

    /// Changes the context of a stage.
    pub(crate) async fn update_stage(
        &self,
        application: &str,
        id: &str,
        stage: &str,
        context: Value,
    ) -> Result<(), RemoteError> {
        let subject = changes(format!("stage `{stage}` of the execution `{id}`"), application);
        let mut call = self.call(Method::PATCH, &["pipelines", id, "stages", stage], subject);
        call.body = Some(context);
        self.send(&call).await.map(drop)
    }
}

/// Whether a Gate returns the executions of a list of ids. Versions before 1.13 do not.
#[derive(Debug)]
pub(crate) struct CanList(AtomicBool);

impl Default for CanList {
    fn default() -> Self {
        Self(AtomicBool::new(true))
    }
}

impl CanList {
    pub(crate) fn get(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn forbid(&self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Returns a URL below another one. Each segment is encoded, also its percent signs.
pub(crate) fn below(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    // `path_segments_mut` fails only for a URL that cannot be a base, which the configuration rejects.
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}

/// Returns whether a text of an answer can be the id of an execution: a ULID or a UUID.
pub(crate) fn is_id(text: &str) -> bool {
    (8..=64).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_segment_of_a_url_is_encoded() {
        for (base, segments, url) in [
            (
                "https://gate:8085",
                &["pipelines", "cms", "a/b 50%"][..],
                "https://gate:8085/pipelines/cms/a%2Fb%2050%25",
            ),
            ("https://x/gate/", &["pipelines", "01J"], "https://x/gate/pipelines/01J"),
        ] {
            assert_eq!(below(&base.parse().unwrap(), segments).as_str(), url);
        }
    }

    #[test]
    fn only_an_id_of_an_execution_is_accepted() {
        assert!(is_id("01JDQ8Z5V2M3N4P5Q6R7S8T9VW") && is_id("4399e00d-3749-4418-b432-e65f9000457f"));
        for text in ["", "x", "..", "01J?x=1234567", "pipelines/..", &"a".repeat(65)] {
            assert!(!is_id(text), "{text}");
        }
    }
}
