//! The routes of the server: authentication, authorization, faults, and the dispatch to objects, output and reviews.

mod objects;
mod output;
mod reviews;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use serde_json::json;
use wardroom_fake_server::ConnectionCut;

use crate::{Shared, data::User, faults::Faults};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 3 << 20;

/// A request for an object after authentication.
pub(crate) struct Call<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) verb: &'static str,
    pub(crate) group: String,
    pub(crate) resource: String,
    pub(crate) namespace: String,
    pub(crate) name: String,
    pub(crate) subresource: String,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) content_type: String,
    pub(crate) body: Bytes,
    pub(crate) user: User,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(
    State(shared): State<Arc<Shared>>,
    ConnectInfo(cut): ConnectInfo<ConnectionCut>,
    request: Request,
) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let path = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    shared.requests().push((parts.method.to_string(), path));
    let faults = shared.faults().clone();
    tokio::time::sleep(faults.slow).await;
    if let Some(answer) = proxy_answer(&faults) {
        return answer;
    }
    let is_create = parts.method == Method::POST && parts.uri.path().ends_with("/pipelineruns");
    if is_create && Faults::use_up(&mut shared.faults().lost_creates) {
        return lose(true, &cut).await;
    }
    if is_create && Faults::use_up(&mut shared.faults().late_creates) {
        let late = shared.clone();
        tokio::spawn(async move {
            tokio::time::sleep(faults.late_by).await;
            answer(&late, &parts.method, &parts.uri, &parts.headers, &body);
        });
        return lose(true, &cut).await;
    }
    if parts.method == Method::GET && Faults::use_up(&mut shared.faults().failing_reads) {
        return status(500, "InternalError", "etcdserver: leader changed");
    }
    let mut answer = answer(&shared, &parts.method, &parts.uri, &parts.headers, &body);
    // The answer states the time of the server.
    let date = jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&shared.data().now());
    if let Some(date) = date.ok().and_then(|date| date.parse().ok()) {
        answer.headers_mut().insert(header::DATE, date);
    }
    if is_create && answer.status() == StatusCode::CREATED {
        let (is_lost, is_silent, is_timed_out) = {
            let mut faults = shared.faults();
            let is_lost = Faults::use_up(&mut faults.lost_answers);
            let is_silent = !is_lost && Faults::use_up(&mut faults.silent_answers);
            let is_timed_out = !is_lost && !is_silent && Faults::use_up(&mut faults.timed_out_creates);
            (is_lost, is_silent, is_timed_out)
        };
        if is_lost || is_silent {
            return lose(is_lost, &cut).await;
        }
        if is_timed_out {
            return status(504, "Timeout", "Timeout: request did not complete within the allotted timeout");
        }
    }
    answer
}

async fn lose(is_cut: bool, cut: &ConnectionCut) -> Response {
    if is_cut {
        cut.0.cancel();
    }
    // The client ends the connection.
    tokio::time::sleep(Duration::from_secs(600)).await;
    StatusCode::GATEWAY_TIMEOUT.into_response()
}

/// Returns the answer of a proxy in front of the server.
fn proxy_answer(faults: &Faults) -> Option<Response> {
    if faults.down != 0 {
        let status = StatusCode::from_u16(faults.down).unwrap_or(StatusCode::BAD_GATEWAY);
        let mut answer =
            (status, [(header::CONTENT_TYPE, "text/html")], "<html><title>Down</title></html>").into_response();
        if faults.retry_after > 0 {
            answer.headers_mut().insert(header::RETRY_AFTER, faults.retry_after.into());
        }
        return Some(answer);
    }
    if faults.html {
        let page = "<html><head><title>Sign in to continue</title></head></html>";
        return Some(([(header::CONTENT_TYPE, "text/html;charset=utf-8")], page).into_response());
    }
    let to = "https://idp.example.org/login?state=secret-state";
    faults.login.then(|| (StatusCode::FOUND, [(header::LOCATION, to)]).into_response())
}

/// Returns the error object of the API.
pub(crate) fn status(code: u16, reason: &str, message: &str) -> Response {
    let body = json!({
        "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message, "reason": reason,
        "code": code,
    });
    (StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR), axum::Json(body)).into_response()
}

/// Returns the answer for a path that is no resource: plain text, and not JSON.
pub(crate) fn no_page() -> Response {
    (StatusCode::NOT_FOUND, [(header::CONTENT_TYPE, "text/plain; charset=utf-8")], "404 page not found\n")
        .into_response()
}

fn answer(shared: &Shared, method: &Method, uri: &axum::http::Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    // 1. Authentication. A request without credentials is anonymous; wrong ones are an error.
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok());
    let user = match given {
        None => User { name: "system:anonymous".to_owned(), groups: vec!["system:unauthenticated".to_owned()] },
        Some(given) => {
            let token = given.strip_prefix("Bearer ").unwrap_or_default();
            match shared.data().tokens.get(token) {
                Some(user) => user.clone(),
                None => return status(401, "Unauthorized", "Unauthorized"),
            }
        }
    };
    // API priority and fairness comes after authentication.
    if Faults::use_up(&mut shared.faults().limited) {
        let message = "The server has received too many requests and has asked us to try again later";
        let mut answer = status(429, "TooManyRequests", message);
        answer.headers_mut().insert(header::RETRY_AFTER, header::HeaderValue::from_static("1"));
        return answer;
    }
    // 2. The path.
    let segments: Vec<&str> = uri.path().split('/').filter(|segment| !segment.is_empty()).collect();
    let (group, rest) = match segments.as_slice() {
        ["api", "v1", rest @ ..] => ("", rest),
        ["apis", group, version, rest @ ..] if serves(shared, group, version) => (*group, rest),
        _ => return no_page(),
    };
    if rest.is_empty() {
        let version = uri.path().trim_start_matches("/apis/").to_owned();
        return axum::Json(json!({ "kind": "APIResourceList", "groupVersion": version, "resources": [] }))
            .into_response();
    }
    let (namespace, rest) = match rest {
        ["namespaces", namespace, rest @ ..] if !rest.is_empty() => (*namespace, rest),
        rest => ("", rest),
    };
    let (resource, name, subresource) = match rest {
        [resource] => (*resource, "", ""),
        [resource, name] => (*resource, *name, ""),
        [resource, name, subresource] => (*resource, *name, *subresource),
        _ => return no_page(),
    };
    let verb = match (method.as_str(), name.is_empty()) {
        ("GET", true) => "list",
        ("GET", false) => "get",
        ("POST", _) => "create",
        ("PATCH", _) => "patch",
        _ => return status(405, "MethodNotAllowed", "the server does not allow this method on the requested resource"),
    };
    let pairs = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()).into_owned().collect();
    let content_type = headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let call = Call {
        shared,
        verb,
        group: group.to_owned(),
        resource: resource.to_owned(),
        namespace: namespace.to_owned(),
        name: name.to_owned(),
        subresource: subresource.to_owned(),
        query: pairs,
        content_type: content_type.to_owned(),
        body: body.clone(),
        user,
    };
    call.dispatch()
}

fn serves(shared: &Shared, group: &str, version: &str) -> bool {
    let is_served = matches!(
        (group, version),
        ("tekton.dev", "v1")
            | ("openshift-pipelines.org", "v1alpha1")
            | ("authorization.k8s.io", "v1")
            | ("authentication.k8s.io", "v1")
    );
    let is_own = group.ends_with("k8s.io");
    is_served && (is_own || shared.data().groups.contains(group))
}

impl Call<'_> {
    fn dispatch(&self) -> Response {
        // 3. Authorization. The reviews of the own user need no permission.
        let is_review = self.group.ends_with("k8s.io");
        if !is_review && !self.is_allowed(self.verb, &self.full_resource(), &self.namespace) {
            return self.forbidden();
        }
        if self.user.name == "system:anonymous" {
            return self.forbidden();
        }
        match (self.resource.as_str(), self.subresource.as_str()) {
            ("pods", "log") => self.output(),
            ("selfsubjectaccessreviews" | "selfsubjectreviews", "") => self.review(),
            ("pipelines" | "pipelineruns" | "taskruns" | "approvaltasks", "") => self.object(),
            _ => status(404, "NotFound", "the server could not find the requested resource"),
        }
    }

    pub(crate) fn query(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(found, _)| found == name).map(|(_, value)| value.as_str())
    }

    fn full_resource(&self) -> String {
        match self.subresource.as_str() {
            "" => self.resource.clone(),
            subresource => format!("{}/{subresource}", self.resource),
        }
    }

    pub(crate) fn is_allowed(&self, verb: &str, resource: &str, namespace: &str) -> bool {
        let denied = |namespace: &str| (verb.to_owned(), resource.to_owned(), namespace.to_owned());
        let data = self.shared.data();
        !data.denied.contains(&denied(namespace)) && !data.denied.contains(&denied("*"))
    }

    /// Returns `pipelineruns.tekton.dev`.
    pub(crate) fn qualified(&self) -> String {
        if self.group.is_empty() { self.resource.clone() } else { format!("{}.{}", self.resource, self.group) }
    }

    fn forbidden(&self) -> Response {
        let object = if self.name.is_empty() { String::new() } else { format!(" \"{}\"", self.name) };
        let message = format!(
            "{}{object} is forbidden: User \"{}\" cannot {} resource \"{}\" in API group \"{}\" in the namespace \"{}\"",
            self.qualified(),
            self.user.name,
            self.verb,
            self.full_resource(),
            self.group,
            self.namespace
        );
        status(403, "Forbidden", &message)
    }
}
