//! The routes of the server: authentication, crumbs, faults, and the dispatch to jobs, builds and the queue.

mod builds;
mod jobs;
mod queue;
mod stages;

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    body::{Bytes, to_bytes},
    extract::{ConnectInfo, Request, State},
    http::{HeaderMap, StatusCode, header},
    response::{IntoResponse, Response},
};
use base64::Engine as _;
use serde_json::{Value, json};
use wardroom_fake_server::{ConnectionCut, http_date};

use crate::{Shared, faults::Faults, tree::Tree};

/// The largest body of a request, in bytes.
const MAX_BODY: usize = 1 << 20;

/// A request after authentication.
pub(crate) struct Call<'c> {
    pub(crate) shared: &'c Shared,
    pub(crate) is_post: bool,
    /// The decoded segments of the path after the prefix.
    pub(crate) segments: Vec<String>,
    pub(crate) query: Vec<(String, String)>,
    pub(crate) form: Vec<(String, String)>,
    pub(crate) user: String,
    pub(crate) host: String,
}

/// How the answer to a trigger is lost.
enum Loss {
    Cut,
    Silence,
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
    let is_post = parts.method == "POST";
    let is_trigger =
        is_post && (parts.uri.path().ends_with("/build") || parts.uri.path().ends_with("/buildWithParameters"));
    if is_trigger && Faults::use_up(&mut shared.faults().lost_triggers) {
        return lose(&Loss::Cut, &cut).await;
    }
    if !is_post && Faults::use_up(&mut shared.faults().failing_reads) {
        return error(StatusCode::INTERNAL_SERVER_ERROR, "Oops!");
    }
    let mut answer = answer(&shared, is_post, &parts.uri, &parts.headers, &body);
    // The answer states the time of the server.
    let date = http_date(shared.data().now() / 1000);
    if let Ok(date) = date.parse() {
        answer.headers_mut().insert(header::DATE, date);
    }
    if is_trigger && answer.status().as_u16() < 400 {
        let loss = {
            let mut faults = shared.faults();
            if Faults::use_up(&mut faults.lost_answers) {
                Some(Loss::Cut)
            } else if Faults::use_up(&mut faults.silent_answers) {
                Some(Loss::Silence)
            } else if Faults::use_up(&mut faults.failing_triggers) {
                return error(StatusCode::INTERNAL_SERVER_ERROR, "Oops!");
            } else {
                if Faults::use_up(&mut faults.nameless_triggers) {
                    answer.headers_mut().remove(header::LOCATION);
                }
                None
            }
        };
        if let Some(loss) = loss {
            return lose(&loss, &cut).await;
        }
    }
    answer
}

async fn lose(loss: &Loss, cut: &ConnectionCut) -> Response {
    if matches!(loss, Loss::Cut) {
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

fn answer(shared: &Shared, is_post: bool, uri: &axum::http::Uri, headers: &HeaderMap, body: &Bytes) -> Response {
    let Some(path) = uri.path().strip_prefix(&*shared.prefix) else { return not_found() };
    let segments: Option<Vec<String>> = path.split('/').filter(|segment| !segment.is_empty()).map(decode).collect();
    let Some(segments) = segments else { return error(StatusCode::BAD_REQUEST, "Ambiguous URI") };
    let Some(given) = headers.get(header::AUTHORIZATION) else {
        return error(StatusCode::FORBIDDEN, "Authentication required");
    };
    let Some(user) = given.to_str().ok().and_then(|given| authenticate(shared, given)) else { return unauthorized() };
    if is_post && !has_crumb(shared, headers, user.is_by_token) {
        return error(StatusCode::FORBIDDEN, "No valid crumb was included in the request");
    }
    let pairs = |text: &[u8]| form_urlencoded::parse(text).into_owned().collect::<Vec<_>>();
    let call = Call {
        shared,
        is_post,
        segments,
        query: pairs(uri.query().unwrap_or_default().as_bytes()),
        form: if is_post { pairs(body) } else { Vec::new() },
        user: user.name,
        host: headers.get(header::HOST).and_then(|host| host.to_str().ok()).unwrap_or_default().to_owned(),
    };
    call.dispatch()
}

struct CurrentUser {
    name: String,
    is_by_token: bool,
}

/// Returns the user of an `Authorization` header; `None` for a wrong user or secret.
fn authenticate(shared: &Shared, given: &str) -> Option<CurrentUser> {
    let encoded = given.strip_prefix("Basic ")?;
    let decoded = String::from_utf8(base64::engine::general_purpose::STANDARD.decode(encoded).ok()?).ok()?;
    let (name, secret) = decoded.split_once(':')?;
    let data = shared.data();
    let user = data.users.get(name)?;
    let is_by_token = user.tokens.contains(secret);
    let is_known = is_by_token || user.password.as_deref() == Some(secret);
    is_known.then(|| CurrentUser { name: name.to_owned(), is_by_token })
}

fn unauthorized() -> Response {
    let mut answer = error(StatusCode::UNAUTHORIZED, "Invalid password/token for user");
    let realm = header::HeaderValue::from_static("Basic realm=\"Jenkins\"");
    answer.headers_mut().insert(header::WWW_AUTHENTICATE, realm);
    answer
}

fn has_crumb(shared: &Shared, headers: &HeaderMap, is_by_token: bool) -> bool {
    let faults = shared.faults();
    if faults.no_crumbs || (is_by_token && !faults.always_crumb) {
        return true;
    }
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let session = text("cookie").split("; ").find_map(|pair| pair.strip_prefix("JSESSIONID.fake="));
    let data = shared.data();
    let crumb = session.and_then(|session| data.sessions.get(session));
    crumb.is_some_and(|crumb| crumb == text("jenkins-crumb"))
}

impl Call<'_> {
    fn dispatch(&self) -> Response {
        let segments: Vec<&str> = self.segments.iter().map(String::as_str).collect();
        match segments.as_slice() {
            ["api", "json"] => self.root(),
            ["crumbIssuer", "api", "json"] => self.crumb(),
            ["queue", "api", "json"] => self.queue(),
            ["queue", "item", id, "api", "json"] => self.queue_item(id),
            ["queue", "cancelItem"] => self.cancel_item(),
            ["computer", "api", "json"] => self.executors(),
            ["job", ..] => self.job_or_build(&segments),
            _ => not_found(),
        }
    }

    /// Finds the job of a path, and dispatches the rest of the path.
    fn job_or_build(&self, segments: &[&str]) -> Response {
        let mut names = Vec::new();
        let mut rest = segments;
        while let ["job", name, after @ ..] = rest {
            names.push(*name);
            rest = after;
        }
        // Jenkins compares names without regard to case (`CopyOnWriteMap.Tree`, `CASE_INSENSITIVE_ORDER`).
        let name = names.join("/");
        let known = self.shared.data().jobs.keys().find(|job| job.eq_ignore_ascii_case(&name)).cloned();
        let name = known.unwrap_or(name);
        if self.lacks("hudson.model.Item.Read") {
            return not_found();
        }
        match rest {
            ["api", "json"] => self.job(&name),
            ["build"] => self.build_plain(&name),
            ["buildWithParameters"] => self.build_with_parameters(&name),
            [number, "api", "json"] => self.build(&name, number),
            [number, "logText", "progressiveText"] => self.log(&name, number),
            [number, signal @ ("stop" | "term" | "kill")] => self.stop(&name, number, signal),
            [number, "testReport", "api", "json"] => self.test_report(&name, number),
            [number, "wfapi", "describe"] => self.describe_stages(&name, number),
            [number, "wfapi", "pendingInputActions"] => self.inputs(&name, number),
            [number, "input", id, verb @ ("proceedEmpty" | "abort")] => self.answer_input(&name, number, id, verb),
            _ => not_found(),
        }
    }

    fn crumb(&self) -> Response {
        if self.shared.faults().no_crumbs {
            return not_found();
        }
        let (cookie, crumb) = self.shared.data().open_session();
        let body = json!({
            "_class": "hudson.security.csrf.DefaultCrumbIssuer", "crumb": crumb, "crumbRequestField": "Jenkins-Crumb",
        });
        let mut answer = self.json(body);
        if let Ok(cookie) = format!("JSESSIONID.fake={cookie}; Path=/; HttpOnly").parse() {
            answer.headers_mut().insert(header::SET_COOKIE, cookie);
        }
        answer
    }

    pub(crate) fn lacks(&self, permission: &str) -> bool {
        self.shared.data().users.get(&self.user).is_some_and(|user| user.lacks.contains(permission))
    }

    /// Returns the answer to a request without a permission.
    pub(crate) fn forbidden(&self, permission: &'static str) -> Response {
        let mut answer = error(StatusCode::FORBIDDEN, "Access Denied");
        let headers = answer.headers_mut();
        if let Ok(user) = self.user.parse() {
            headers.insert("x-you-are-authenticated-as", user);
        }
        headers.insert("x-required-permission", header::HeaderValue::from_static(permission));
        answer
    }

    pub(crate) fn parameter(&self, name: &str) -> Option<&str> {
        let given = self.query.iter().chain(&self.form).find(|(given, _)| given == name);
        given.map(|(_, value)| value.as_str())
    }

    /// Returns a JSON answer with the fields that `tree` selects.
    pub(crate) fn json(&self, body: Value) -> Response {
        let body = match self.parameter("tree") {
            None => body,
            Some(text) => match Tree::parse(text) {
                Some(tree) => tree.prune(body),
                None => return error(StatusCode::BAD_REQUEST, "invalid tree"),
            },
        };
        let padding = " ".repeat(self.shared.faults().padding);
        let headers = [(header::CONTENT_TYPE, "application/json;charset=utf-8"), (header::SERVER, "Jetty(12.0)")];
        let mut answer = (headers, format!("{body}{padding}")).into_response();
        answer.headers_mut().insert("x-jenkins", header::HeaderValue::from_static("2.516.1"));
        answer
    }

    /// Returns the URL that the server writes for a path.
    pub(crate) fn url_of(&self, path: &str) -> String {
        let root = self.shared.faults().root_url.clone();
        if root.is_empty() {
            format!("http://{}{}/{path}", self.host, self.shared.prefix)
        } else {
            format!("{root}/{path}")
        }
    }

    pub(crate) fn job_url(&self, job: &str) -> String {
        let encode = |name: &str| {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~".contains(&byte);
            name.bytes()
                .map(|byte| if plain(byte) { char::from(byte).to_string() } else { format!("%{byte:02X}") })
                .collect::<String>()
        };
        let path: String = job.split('/').map(|name| format!("job/{}/", encode(name))).collect();
        self.url_of(&path)
    }
}

pub(crate) fn not_found() -> Response {
    error(StatusCode::NOT_FOUND, "Not Found")
}

/// Returns an error page.
pub(crate) fn error(status: StatusCode, text: &str) -> Response {
    let page = format!("<html><head><title>{text}</title></head><body><h1>{text}</h1></body></html>");
    (status, [(header::CONTENT_TYPE, "text/html;charset=utf-8")], page).into_response()
}

/// Decodes a segment of a path once. Returns `None` for what is not UTF-8.
fn decode(segment: &str) -> Option<String> {
    let escaped = segment.replace('+', "%2B");
    let (text, _) = form_urlencoded::parse(escaped.as_bytes()).next().unwrap_or_default();
    (!text.contains('\u{fffd}')).then(|| text.into_owned())
}
