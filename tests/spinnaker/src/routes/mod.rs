//! The routes of the server: sign-in, faults, and the dispatch to pipelines and executions.

mod executions;
mod pipelines;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::to_bytes,
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, Method, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use serde_json::{Value, json};
use wardroom_fake_server::{Peer, http_date};

use crate::{Shared, faults::Faults};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A request after the sign-in.
pub(crate) struct Call<'c> {
    pub(crate) shared: &'c Arc<Shared>,
    pub(crate) method: Method,
    /// The decoded segments of the path after the prefix.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) body: Value,
}

/// How the answer to a trigger is lost.
enum Loss {
    Cut,
    Silence,
}

pub(crate) fn router(shared: Arc<Shared>) -> Router {
    Router::new().fallback(handle).with_state(shared)
}

async fn handle(State(shared): State<Arc<Shared>>, ConnectInfo(peer): ConnectInfo<Peer>, request: Request) -> Response {
    let (parts, body) = request.into_parts();
    let body = to_bytes(body, MAX_BODY).await.unwrap_or_default();
    let path = parts.uri.path_and_query().map(|path| path.as_str().to_owned()).unwrap_or_default();
    shared.requests().push((parts.method.to_string(), path));
    let faults = shared.faults().clone();
    tokio::time::sleep(faults.slow).await;
    if let Some(answer) = proxy_answer(&faults) {
        return answer;
    }
    let is_trigger = parts.method == Method::POST;
    if is_trigger && Faults::use_up(&mut shared.faults().lost_triggers) {
        return lose(&Loss::Cut, &peer).await;
    }
    if parts.method == Method::GET && Faults::use_up(&mut shared.faults().failing_reads) {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Status: 500, URL: http://orca:8083, Message: x");
    }
    if !is_signed_in(&shared, &parts.headers, peer.certificate.as_deref()) {
        return unauthorized(&shared.faults());
    }
    let answer_once = || {
        let path = parts.uri.path().strip_prefix(&*shared.prefix)?;
        let segments = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect::<Option<_>>()?;
        let query = parts.uri.query().unwrap_or_default().as_bytes();
        let call = Call {
            shared: &shared,
            method: parts.method.clone(),
            segments,
            query: form_urlencoded::parse(query).into_owned().collect(),
            body: serde_json::from_slice(&body).unwrap_or_default(),
        };
        Some(call.dispatch())
    };
    if is_trigger && Faults::use_up(&mut shared.faults().orca_outages) {
        return error(StatusCode::BAD_REQUEST, "timeout");
    }
    if is_trigger && Faults::use_up(&mut shared.faults().doubled_triggers) {
        let _ = answer_once();
    }
    let mut answer = answer_once().unwrap_or_else(not_found);
    // The answer states the time of the server.
    if let Ok(date) = http_date(shared.data().now() / 1000).parse() {
        answer.headers_mut().insert(header::DATE, date);
    }
    if is_trigger && answer.status().is_success() {
        let loss = {
            let mut faults = shared.faults();
            if Faults::use_up(&mut faults.lost_answers) {
                Some(Loss::Cut)
            } else if Faults::use_up(&mut faults.silent_answers) {
                Some(Loss::Silence)
            } else if Faults::use_up(&mut faults.failing_triggers) {
                return error(StatusCode::INTERNAL_SERVER_ERROR, "Oops");
            } else if Faults::use_up(&mut faults.orca_timeouts) {
                return error(StatusCode::BAD_REQUEST, "timeout");
            } else if Faults::use_up(&mut faults.nameless_triggers) {
                return (StatusCode::ACCEPTED, [(header::CONTENT_TYPE, "application/json")], "{}").into_response();
            } else {
                None
            }
        };
        if let Some(loss) = loss {
            return lose(&loss, &peer).await;
        }
    }
    answer
}

async fn lose(loss: &Loss, peer: &Peer) -> Response {
    if matches!(loss, Loss::Cut) {
        peer.cut.cancel();
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
    faults.login.then(to_login)
}

fn to_login() -> Response {
    let to = "https://idp.example.org/login?state=secret-state";
    (StatusCode::FOUND, [(header::LOCATION, to)]).into_response()
}

fn is_signed_in(shared: &Shared, headers: &HeaderMap, certificate: Option<&[u8]>) -> bool {
    if let Some(certificate) = certificate {
        return !shared.without_role().contains(certificate);
    }
    let given = headers.get(header::AUTHORIZATION).and_then(|given| given.to_str().ok()).unwrap_or_default();
    let data = shared.data();
    if let Some(token) = given.strip_prefix("Bearer ") {
        return data.tokens.contains(token);
    }
    let decode = |text: &str| String::from_utf8(base64::engine::general_purpose::STANDARD.decode(text).ok()?).ok();
    let pair = given.strip_prefix("Basic ").and_then(decode);
    let pair = pair.as_deref().and_then(|pair| pair.split_once(':'));
    pair.is_some_and(|(user, password)| data.passwords.get(user).is_some_and(|known| known == password))
}

fn unauthorized(faults: &Faults) -> Response {
    if faults.redirects_wrong_secrets {
        return to_login();
    }
    error(StatusCode::UNAUTHORIZED, "Full authentication is required to access this resource")
}

impl Call<'_> {
    fn dispatch(&self) -> Response {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        match (self.method.as_str(), segments.as_slice()) {
            ("GET", ["applications"]) => self.applications(),
            ("GET", ["applications", application, "pipelineConfigs"]) => self.pipeline_configs(application),
            ("GET", ["applications", application, "executions", "search"]) => self.search(application),
            ("GET", ["executions"]) => self.executions(),
            ("GET", ["pipelines", id]) => self.execution(id),
            ("PUT", ["pipelines", id, "cancel"]) => self.cancel(id),
            ("PATCH", ["pipelines", id, "stages", stage]) => self.update_stage(id, stage),
            ("POST", ["pipelines", application, pipeline]) => self.trigger(application, pipeline),
            _ => not_found(),
        }
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        self.query.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }

    pub(crate) fn json(&self, status: StatusCode, body: &Value) -> Response {
        let padding = " ".repeat(self.shared.faults().padding);
        (status, [(header::CONTENT_TYPE, "application/json;charset=UTF-8")], format!("{body}{padding}")).into_response()
    }
}

pub(crate) fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "No message available")
}

pub(crate) fn forbidden() -> Response {
    error(StatusCode::FORBIDDEN, "Access is denied")
}

/// Returns an error as a service of Spinnaker does.
pub(crate) fn error(status: StatusCode, message: &str) -> Response {
    let reason = status.canonical_reason().unwrap_or_default();
    let body = json!({
        "timestamp": 1_764_500_000_000_u64, "status": status.as_u16(), "error": reason, "message": message,
    });
    (status, [(header::CONTENT_TYPE, "application/json;charset=UTF-8")], body.to_string()).into_response()
}

/// Decodes a segment of a path once. Returns `None` for what is not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let escaped = segment.replace('+', "%2B").replace('&', "%26").replace('=', "%3D");
    let (text, _) = form_urlencoded::parse(escaped.as_bytes()).next().unwrap_or_default();
    (!text.contains('\u{fffd}')).then(|| text.into_owned())
}
