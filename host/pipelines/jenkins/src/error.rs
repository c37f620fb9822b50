//! A failed request to Jenkins, and its text for people.
//!
//! Invariant: no error contains a secret or the URL of a request. Text of a response is cleaned and shortened.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use wardroom::{
    adapter::PipelineError,
    base::{Backoff, clean},
};
use wardroom_account::error_chain;

use crate::responses::{self, CRUMB, Meaning, Request};

/// The maximum length of a text of a response in an error, in characters.
const MAX_TEXT: usize = 160;

/// A failed request. The reason is one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum JenkinsError {
    /// Jenkins did not answer, or answered with an error that can pass.
    Unavailable {
        /// Whether the request may have been carried out. It is false if the request was not sent.
        may_be_done: bool,
        /// Whether the answer says that the whole server is down or limits the rate. The breaker counts such answers.
        is_outage: bool,
        /// The delay that the server requests before the next request.
        retry_after: Option<Duration>,
        reason: String,
    },
    /// Jenkins does not accept the user or the secret.
    Unauthorized { reason: String },
    /// Jenkins requires a crumb.
    NoCrumb { reason: String },
    /// The user lacks a permission.
    Forbidden { reason: String },
    /// The object does not exist, or the user cannot see it.
    Missing { reason: String },
    /// Jenkins rejects the request. A repetition would fail in the same way.
    Rejected { reason: String },
}

impl JenkinsError {
    /// An error of a request that was not sent.
    pub(crate) fn not_sent(reason: impl Into<String>) -> Self {
        Self::Unavailable { may_be_done: false, is_outage: false, retry_after: None, reason: reason.into() }
    }

    /// An answer that cannot be used. The request may have been carried out.
    pub(crate) fn unusable(reason: impl Into<String>) -> Self {
        Self::Unavailable { may_be_done: true, is_outage: false, retry_after: None, reason: reason.into() }
    }

    pub(crate) fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }

    /// Converts the error of a request that precedes the actual one, which was then not sent.
    pub(crate) fn before_the_request(mut self) -> Self {
        if let Self::Unavailable { may_be_done, .. } = &mut self {
            *may_be_done = false;
        }
        self
    }

    /// Returns whether the request may have been carried out although it failed.
    pub(crate) fn may_be_done(&self) -> bool {
        matches!(self, Self::Unavailable { may_be_done: true, .. })
    }

    /// Returns whether the same request can succeed within seconds. A requested delay is longer, and the breaker keeps
    /// it.
    pub(crate) fn can_pass(&self) -> bool {
        let Self::Unavailable { may_be_done, is_outage, retry_after, .. } = self else { return false };
        (*may_be_done || *is_outage) && retry_after.is_none()
    }

    /// Returns whether a repetition of the same request can succeed.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    pub(crate) fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason, .. }
            | Self::Unauthorized { reason }
            | Self::NoCrumb { reason }
            | Self::Forbidden { reason }
            | Self::Missing { reason }
            | Self::Rejected { reason } => reason,
        }
    }

    /// Converts an error of a request that reads the state of a run. Only an outage passes by itself, but a wrong secret
    /// can be replaced while the host runs, so that the run must not be given up.
    pub(crate) fn while_reading(self) -> PipelineError {
        PipelineError::Unavailable { message: self.reason().to_owned() }
    }

    /// Converts an error of a request that was to change something.
    pub(crate) fn while_changing(self) -> PipelineError {
        let message = self.reason().to_owned();
        if self.is_transient() { PipelineError::Unavailable { message } } else { PipelineError::Refused { message } }
    }
}

impl std::fmt::Display for JenkinsError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

/// Converts an error without a response.
pub(crate) fn no_response(error: reqwest::Error, server: &str, timeout: Duration) -> JenkinsError {
    // A connection that was never opened has carried no request.
    let may_be_done = !error.is_connect() && !error.is_builder();
    let reason = if error.is_timeout() && may_be_done {
        format!("Jenkins at {server} did not answer within {}", wardroom::base::spoken_duration(timeout))
    } else {
        format!("Jenkins at {server} cannot be reached: {}", clean(&error_chain(&error.without_url())))
    };
    JenkinsError::Unavailable { may_be_done, is_outage: true, retry_after: None, reason }
}

/// Classifies an error response of Jenkins or of a proxy by the table in `responses`. `what` is the object of the
/// request for people, for example "the job `web/cms`"; `user` is the Jenkins user.
pub(crate) fn classify(
    request: Request,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    what: &str,
    user: &str,
) -> JenkinsError {
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(16 << 10)]);
    let code = excerpt.contains("No valid crumb").then_some(CRUMB);
    let number = status.as_u16();
    let unavailable = |may_be_done, is_outage, reason| JenkinsError::Unavailable {
        may_be_done,
        is_outage,
        retry_after: requested_delay(headers),
        reason,
    };
    match responses::meaning(request, number, code) {
        Meaning::Unauthorized => JenkinsError::Unauthorized {
            reason: format!(
                "Jenkins does not accept the credentials of the user `{user}` ({number}); put a valid API token of this \
                 user into the secret"
            ),
        },
        Meaning::NoCrumb => {
            JenkinsError::NoCrumb { reason: "Jenkins did not accept the crumb of the request (403)".to_owned() }
        }
        Meaning::Forbidden => JenkinsError::Forbidden { reason: forbidden(headers, &excerpt, what, user) },
        Meaning::Missing => JenkinsError::Missing {
            reason: format!(
                "Jenkins has no {what} that the user `{user}` can see; check the name, and give the user the permission \
                 Job/Read"
            ),
        },
        Meaning::Redirect => {
            let reason = redirect(headers);
            // A redirect of a trigger to a page of Jenkins means that no item was queued; the search decides.
            JenkinsError::unusable(reason)
        }
        Meaning::Rejected => {
            JenkinsError::rejected(format!("Jenkins rejects the request for {what} ({})", with_text(status, &excerpt)))
        }
        Meaning::Limited => {
            unavailable(false, true, "Jenkins or a proxy in front of it limits the rate of requests (429)".to_owned())
        }
        Meaning::Failed => {
            unavailable(true, false, format!("Jenkins failed on {what} ({})", with_text(status, &excerpt)))
        }
        Meaning::Down => unavailable(
            true,
            true,
            format!("Jenkins or a proxy in front of it is unavailable ({})", with_text(status, &excerpt)),
        ),
    }
}

/// Returns the error for a response with status 200 that is not what the API returns.
pub(crate) fn not_the_api(headers: &HeaderMap, body: &[u8]) -> JenkinsError {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let excerpt = String::from_utf8_lossy(&body[..body.len().min(16 << 10)]);
    if kind.starts_with("text/html") || excerpt.trim_start().starts_with('<') {
        let title = title(&excerpt).map(|title| format!(" with the title \"{title}\"")).unwrap_or_default();
        return JenkinsError::unusable(format!(
            "an HTML page{title} was returned instead of the API of Jenkins; a login page or a proxy answers at `url`; \
             set `url` to an address where the API answers"
        ));
    }
    JenkinsError::unusable("the answer is not what the API of Jenkins returns; check `url`")
}

/// Returns the text for a 403. Jenkins names the missing permission in a header.
fn forbidden(headers: &HeaderMap, excerpt: &str, what: &str, user: &str) -> String {
    let header = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).map(clean);
    match header("x-required-permission") {
        Some(permission) => {
            let permission = shorten(&permission);
            // `hudson.model.Item.Build` is shown in Jenkins as Job/Build.
            let name = permission.rsplit('.').next().unwrap_or_default().to_owned();
            format!(
                "the Jenkins user `{user}` lacks the permission {name} (`{permission}`) for {what}; grant it in Jenkins"
            )
        }
        None => format!(
            "Jenkins forbids the user `{user}` the request for {what} ({})",
            with_text(StatusCode::FORBIDDEN, excerpt)
        ),
    }
}

/// Returns the text for a redirect. Only the origin of its target is shown, because its query can contain a secret.
fn redirect(headers: &HeaderMap) -> String {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
    let is_login = ["login", "signin", "oauth", "saml", "sso", "auth"].iter().any(|word| to.contains(word));
    let origin = reqwest::Url::parse(to).ok().map(|to| format!(" to {}", to.origin().ascii_serialization()));
    let origin = origin.unwrap_or_default();
    if is_login {
        format!(
            "the request was redirected{origin} to a login page instead of being answered; check the user and the token, \
             and let a proxy in front of Jenkins pass requests with an API token"
        )
    } else {
        format!(
            "the request was redirected{origin} instead of being answered; set `url` to the address of Jenkins itself"
        )
    }
}

/// Returns the delay that a response requests in `Retry-After`, in seconds.
fn requested_delay(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(Backoff::MAX_REQUESTED))
}

/// Returns a status, with the text of an error page if it has one.
fn with_text(status: StatusCode, excerpt: &str) -> String {
    let number = status.as_u16();
    match title(excerpt).or_else(|| plain(excerpt)) {
        Some(text) => format!("{number}: {text}"),
        None => number.to_string(),
    }
}

fn title(html: &str) -> Option<String> {
    let begin = html.find("<title>")? + "<title>".len();
    let end = begin + html[begin..].find('<')?;
    Some(shorten(&clean(html[begin..end].trim()))).filter(|title| !title.is_empty())
}

/// Returns the first line of a text that is not HTML.
fn plain(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    (!text.trim_start().starts_with('<')).then(|| shorten(&clean(line)))
}

fn shorten(text: &str) -> String {
    text.chars().take(MAX_TEXT).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> JenkinsError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        classify(Request::Trigger, status, &headers, body.as_bytes(), "the job `cms`", "bot")
    }

    #[test]
    fn a_missing_permission_is_named() {
        let error = answer(403, &[("X-Required-Permission", "hudson.model.Item.Build")], "<html>");
        assert_eq!(
            error.reason(),
            "the Jenkins user `bot` lacks the permission Build (`hudson.model.Item.Build`) for the job `cms`; grant it in \
             Jenkins"
        );
        assert!(matches!(answer(403, &[], "No valid crumb was included in the request"), JenkinsError::NoCrumb { .. }));
    }

    #[test]
    fn a_redirect_shows_the_origin_of_its_target_only() {
        let error = answer(302, &[("Location", "https://idp.example.org/login?state=hunter2")], "");
        assert!(error.reason().contains("to https://idp.example.org to a login page"), "{error}");
        assert!(!error.reason().contains("hunter2"), "{error}");
        assert!(error.may_be_done());
    }

    #[test]
    fn only_failures_of_a_server_may_have_started_a_build() {
        for (status, may_be_done) in
            [(400, false), (401, false), (403, false), (404, false), (409, false), (429, false)].into_iter().chain([
                (500, true),
                (502, true),
                (503, true),
                (504, true),
                (408, true),
                (302, true),
            ])
        {
            assert_eq!(answer(status, &[], "").may_be_done(), may_be_done, "{status}");
        }
    }

    #[test]
    fn the_requested_delay_is_limited() {
        let delay = |value: &'static str| match answer(503, &[("Retry-After", value)], "") {
            JenkinsError::Unavailable { retry_after, .. } => retry_after,
            other => panic!("{other:?}"),
        };
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("999999999"), Some(Backoff::MAX_REQUESTED));
        assert_eq!(delay("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn a_page_is_told_by_its_title() {
        let headers = [(CONTENT_TYPE, "text/html".parse().unwrap())].into_iter().collect();
        let error = not_the_api(&headers, b"<html><head><title>Sign in [Jenkins]</title>");
        assert!(error.reason().starts_with("an HTML page with the title \"Sign in [Jenkins]\""), "{error}");
        let long = format!("<title>{}</title>", "x".repeat(10_000));
        assert!(not_the_api(&headers, long.as_bytes()).reason().len() < 600);
    }
}
