//! Classifies failed requests: a retry can succeed, the server rejected the token, or the server rejected the request.
//!
//! Invariant: an error response is final only if Mattermost itself sent it or if it concerns the size of a request. Any
//! other error response may come from a proxy in front of a server that is down, so a retry can succeed. The table in
//! `responses` has the details.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};
use serde_json::Value;
use wardroom::{
    adapter::SendError,
    base::{Backoff, clean},
};
use wardroom_account::error_chain;

use crate::responses::{self, Reaction, Request};

/// A failed request. The reason is one line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MattermostError {
    /// The server is unreachable or overloaded, or limits the rate of requests. A retry can succeed.
    Unavailable {
        /// The delay that the server requests before a retry.
        retry_after: Option<Duration>,
        /// Whether the response was larger than the client reads. A request for less can succeed.
        is_too_large: bool,
        reason: String,
    },
    /// The server does not accept the account's token.
    TokenRejected { reason: String },
    /// The account has no permission to create posts in the channel.
    Forbidden { reason: String },
    /// The message is too long. A shorter message can succeed.
    TooLong { reason: String },
    /// The first message of the thread does not exist. A message outside of a thread can succeed.
    ThreadRejected { reason: String },
    /// The server rejects the request. A retry would fail in the same way.
    Rejected {
        /// Whether the requested object does not exist.
        not_found: bool,
        reason: String,
    },
}

impl MattermostError {
    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { retry_after: None, is_too_large: false, reason: reason.into() }
    }

    /// Creates the error for a response that is larger than the client reads.
    pub(crate) fn too_large(reason: impl Into<String>) -> Self {
        Self::Unavailable { retry_after: None, is_too_large: true, reason: reason.into() }
    }

    /// Creates the error for a response that requests a delay before a retry.
    fn delayed(retry_after: Option<Duration>, reason: String) -> Self {
        Self::Unavailable { retry_after, is_too_large: false, reason }
    }

    pub(crate) fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { not_found: false, reason: reason.into() }
    }

    /// Prepends `what`, a description of the failed operation, to the error's reason.
    pub(crate) fn context(mut self, what: &str) -> Self {
        let (Self::Unavailable { reason, .. }
        | Self::TokenRejected { reason }
        | Self::Forbidden { reason }
        | Self::TooLong { reason }
        | Self::ThreadRejected { reason }
        | Self::Rejected { reason, .. }) = &mut self;
        *reason = format!("{what}: {reason}");
        self
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason, .. }
            | Self::TokenRejected { reason }
            | Self::Forbidden { reason }
            | Self::TooLong { reason }
            | Self::ThreadRejected { reason }
            | Self::Rejected { reason, .. } => reason,
        }
    }

    /// Returns the delay that the server requests before a retry.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl std::fmt::Display for MattermostError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl From<MattermostError> for SendError {
    fn from(error: MattermostError) -> Self {
        match error {
            MattermostError::Forbidden { reason } => Self::Forbidden { reason },
            MattermostError::TooLong { reason }
            | MattermostError::ThreadRejected { reason }
            | MattermostError::Rejected { reason, .. } => Self::Never { reason },
            // After a rejected token, the message stays in the outbox until the account has a new token.
            error => Self::Later { after: error.retry_after(), reason: error.reason().to_owned() },
        }
    }
}

impl From<reqwest::Error> for MattermostError {
    fn from(error: reqwest::Error) -> Self {
        Self::unavailable(error_chain(&error.without_url()))
    }
}

/// Classifies an error response of the server or of a proxy by the table in `responses`.
pub(crate) fn classify(request: Request, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> MattermostError {
    let body = ErrorBody::read(body);
    let mut reason = match &body {
        Some(body) => format!("{} ({}: {})", status.as_u16(), clean(&body.id), shorten(&body.message)),
        None => format!("{status}"),
    };
    // Mattermost repeats the status of a 401 in its body.
    let is_of_server = |body: &&ErrorBody| status != StatusCode::UNAUTHORIZED || body.status == Some(401);
    let id = body.as_ref().filter(is_of_server).map(|body| body.id.as_str());
    match responses::reaction(request, status.as_u16(), id) {
        Reaction::EndSession => MattermostError::TokenRejected { reason },
        Reaction::AwaitPermission => MattermostError::Forbidden { reason },
        Reaction::Shorten => MattermostError::TooLong { reason },
        Reaction::LeaveThread => MattermostError::ThreadRejected { reason },
        Reaction::Reject => MattermostError::Rejected { not_found: status == StatusCode::NOT_FOUND, reason },
        Reaction::Retry => {
            let delay = (status == StatusCode::TOO_MANY_REQUESTS).then(|| requested_delay(headers));
            reason.push_str(&hint(status, headers));
            MattermostError::delayed(delay, reason)
        }
    }
}

/// Returns what the operator can do about a response of a proxy, or an empty text.
fn hint(status: StatusCode, headers: &HeaderMap) -> String {
    match status.as_u16() {
        401 => ": a proxy in front of the server requires its own login".to_owned(),
        300..=399 => {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
            let to = reqwest::Url::parse(to).ok().map(|to| to.origin().ascii_serialization());
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            format!(": the server redirects{to}; hint: set `url` to the address where Mattermost answers")
        }
        _ => String::new(),
    }
}

/// Returns the delay that a rate limit requests; one second if the response states no delay.
fn requested_delay(headers: &HeaderMap) -> Duration {
    // The text `NaN` is a number for `parse`, and no duration.
    let number = |text: &str| text.trim().parse::<f64>().ok().filter(|number| !number.is_nan());
    let seconds = |name: &str| number(headers.get(name)?.to_str().ok()?);
    // The header is documented as a time, but servers send the number of seconds until that time.
    let reset = || seconds("x-ratelimit-reset").filter(|seconds| *seconds < 3600.0);
    let requested = seconds(RETRY_AFTER.as_str()).or_else(reset).unwrap_or(1.0);
    Duration::from_secs_f64(requested.clamp(0.1, Backoff::MAX_REQUESTED.as_secs_f64()))
}

/// The body of an error response of Mattermost. The message is in the server's language.
struct ErrorBody {
    id: String,
    message: String,
    /// The HTTP status, which the body repeats.
    status: Option<u64>,
}

impl ErrorBody {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text("id").filter(|id| !id.is_empty())?;
        Some(Self { id, message: text("message").unwrap_or_default(), status: body["status_code"].as_u64() })
    }
}

fn shorten(text: &str) -> String {
    clean(text).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> MattermostError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        classify(Request::Other, StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    fn rejected(status: u16, id: &str) -> MattermostError {
        answer(status, &[], &format!(r#"{{"id":"{id}","message":"x","status_code":{status}}}"#))
    }

    #[test]
    fn a_rate_limit_keeps_the_delay_that_the_server_requests() {
        let wait = |headers: &[_]| answer(429, headers, "limit exceeded\n").retry_after();
        assert_eq!(wait(&[("Retry-After", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(wait(&[("X-RateLimit-Reset", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("X-RateLimit-Reset", "1763749513")]), Some(Duration::from_secs(1)), "a time is no delay");
        for nonsense in ["soon", "NaN", "-NaN", ""] {
            assert_eq!(wait(&[("Retry-After", nonsense)]), Some(Duration::from_secs(1)), "{nonsense}");
        }
        for long in ["inf", "1e300", "9223372036854775807"] {
            assert_eq!(wait(&[("Retry-After", long)]), Some(Backoff::MAX_REQUESTED), "{long}");
        }
        assert_eq!(wait(&[("Retry-After", "-1e300")]), Some(Duration::from_millis(100)));
    }

    #[test]
    fn a_rejection_of_mattermost_is_final_and_one_of_a_proxy_is_not() {
        assert!(matches!(rejected(403, "api.context.permissions.app_error"), MattermostError::Rejected { .. }));
        assert!(matches!(rejected(400, "x"), MattermostError::Rejected { .. }));
        assert!(matches!(answer(404, &[], "<html>nginx</html>"), MattermostError::Unavailable { .. }));
        assert!(matches!(answer(403, &[], r#"{"error":"waf"}"#), MattermostError::Unavailable { .. }));
        assert!(matches!(rejected(502, "x"), MattermostError::Unavailable { .. }));
    }

    #[test]
    fn only_a_429_is_a_rate_limit() {
        // The server still creates the post of an earlier attempt with the same `pending_post_id`.
        let in_flight = rejected(500, "api.post.deduplicate_create_post.pending");
        assert!(matches!(in_flight, MattermostError::Unavailable { retry_after: None, .. }), "{in_flight:?}");
        let unavailable = answer(503, &[("Retry-After", "7")], "");
        assert!(matches!(unavailable, MattermostError::Unavailable { retry_after: None, .. }), "{unavailable:?}");
    }

    #[test]
    fn a_post_without_a_permission_waits_for_it() {
        let body = r#"{"id":"api.context.permissions.app_error","message":"x","status_code":403}"#;
        let error = classify(Request::Post, StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes());
        assert!(matches!(error, MattermostError::Forbidden { .. }));
        assert!(matches!(SendError::from(error), SendError::Forbidden { .. }));
        let error = classify(Request::Edit, StatusCode::FORBIDDEN, &HeaderMap::new(), body.as_bytes());
        assert!(matches!(SendError::from(error), SendError::Never { .. }), "only this edit is forbidden");
    }

    #[test]
    fn only_a_401_of_mattermost_rejects_the_token_and_the_message_is_kept() {
        let end = rejected(401, "api.context.session_expired.app_error");
        assert!(matches!(end, MattermostError::TokenRejected { .. }));
        assert!(matches!(SendError::from(end), SendError::Later { .. }));
    }

    #[test]
    fn a_401_of_a_proxy_is_transient() {
        for (headers, body) in [
            (&[("WWW-Authenticate", "Basic")][..], "no"),
            (&[], ""),
            (&[], "<html>Sign in</html>"),
            (&[], r#"{"error":"login required"}"#),
            (&[], r#"{"id":"","message":"x","status_code":401}"#),
            (&[], r#"{"id":"7f3a","message":"Unauthorized"}"#),
            (&[], r#"["id"]"#),
        ] {
            let error = answer(401, headers, body);
            assert!(matches!(error, MattermostError::Unavailable { .. }), "{body}: {error:?}");
            assert!(error.reason().contains("in front of the server"), "{error}");
        }
    }

    #[test]
    fn a_missing_object_is_told_from_a_forbidden_one() {
        assert!(matches!(rejected(404, "x"), MattermostError::Rejected { not_found: true, .. }));
        assert!(matches!(rejected(403, "x"), MattermostError::Rejected { not_found: false, .. }));
    }

    #[test]
    fn a_redirect_names_its_target_and_no_secret() {
        let error = answer(301, &[("Location", "https://chat.example.org/api/v4/x?token=hunter2")], "");
        assert!(error.reason().contains("https://chat.example.org;"), "{error}");
        assert!(!error.reason().contains("hunter2"), "{error}");
    }
}
