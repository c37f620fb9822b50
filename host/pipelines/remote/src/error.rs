//! A failed request to a server, and the parts of its text for people that are the same for each kind of server.
//!
//! Invariant: no error contains a secret or the URL of a request. Text of a response is cleaned and shortened.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{CONTENT_TYPE, HeaderMap, LOCATION, RETRY_AFTER},
};
use wardroom::{
    adapter::PipelineError,
    base::{Backoff, clean, spoken_duration},
};
use wardroom_account::error_chain;

/// The maximum length of a text of a response in an error, in characters.
const MAX_TEXT: usize = 160;
/// How much of a response is searched for a text, in bytes.
const MAX_EXCERPT: usize = 16 << 10;

/// A failed request. The reason is one line for people.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RemoteError {
    /// The server did not answer, or answered with an error that can pass.
    Unavailable {
        /// Whether the request may have been carried out. It is false if the request was not sent.
        may_be_done: bool,
        /// Whether the answer says that the whole server is down or limits the rate. The breaker counts such answers.
        is_outage: bool,
        /// The delay that the server requests before the next request.
        retry_after: Option<Duration>,
        /// The reason.
        reason: String,
    },
    /// The server does not accept the user or the secret. Nothing was done.
    Unauthorized {
        /// The reason.
        reason: String,
    },
    /// A short-lived token of the request, for example a crumb, is not valid. Nothing was done, and a new token helps.
    StaleToken {
        /// The reason.
        reason: String,
    },
    /// The user lacks a permission. Nothing was done.
    Forbidden {
        /// The reason.
        reason: String,
    },
    /// The object does not exist, or the user cannot see it. Nothing was done.
    Missing {
        /// The reason.
        reason: String,
    },
    /// The server rejects the request. Nothing was done, and a repetition would fail in the same way.
    Rejected {
        /// The reason.
        reason: String,
    },
}

impl RemoteError {
    /// An error of a request that was not sent.
    pub fn not_sent(reason: impl Into<String>) -> Self {
        Self::Unavailable { may_be_done: false, is_outage: false, retry_after: None, reason: reason.into() }
    }

    /// An answer that cannot be used. The request may have been carried out.
    pub fn unusable(reason: impl Into<String>) -> Self {
        Self::Unavailable { may_be_done: true, is_outage: false, retry_after: None, reason: reason.into() }
    }

    /// A request that the server, or the adapter itself, rejects.
    pub fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }

    /// Converts an error without a response. `name` is the software, `server` the server for people without a path.
    pub fn no_response(name: &str, error: reqwest::Error, server: &str, timeout: Duration) -> Self {
        // A connection that was never opened has carried no request.
        let may_be_done = !error.is_connect() && !error.is_builder();
        let reason = if error.is_timeout() && may_be_done {
            format!("{name} at {server} did not answer within {}", spoken_duration(timeout))
        } else {
            format!("{name} at {server} cannot be reached: {}", clean(&error_chain(&error.without_url())))
        };
        Self::Unavailable { may_be_done, is_outage: true, retry_after: None, reason }
    }

    /// Returns the error for a response with status 200 that is not what the API returns.
    pub fn not_the_api(name: &str, headers: &HeaderMap, body: &[u8]) -> Self {
        let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
        let excerpt = excerpt(body);
        if kind.starts_with("text/html") || excerpt.trim_start().starts_with('<') {
            let title = title(&excerpt).map(|title| format!(" with the title \"{title}\"")).unwrap_or_default();
            return Self::unusable(format!(
                "an HTML page{title} was returned instead of the API of {name}; a login page or a proxy answers at \
                 `url`; set `url` to an address where the API answers"
            ));
        }
        Self::unusable(format!("the answer is not what the API of {name} returns; check `url`"))
    }

    /// Converts the error of a request that precedes the actual one, which was then not sent.
    #[must_use]
    pub fn before_the_request(mut self) -> Self {
        if let Self::Unavailable { may_be_done, .. } = &mut self {
            *may_be_done = false;
        }
        self
    }

    /// Returns whether the request may have been carried out although it failed.
    pub fn may_be_done(&self) -> bool {
        matches!(self, Self::Unavailable { may_be_done: true, .. })
    }

    /// Returns whether the same request can succeed within seconds. A requested delay is longer, and the breaker keeps
    /// it.
    pub fn can_pass(&self) -> bool {
        let Self::Unavailable { may_be_done, is_outage, retry_after, .. } = self else { return false };
        (*may_be_done || *is_outage) && retry_after.is_none()
    }

    /// Returns whether a repetition of the same request can succeed.
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// Returns whether the object does not exist or cannot be seen.
    pub fn is_missing(&self) -> bool {
        matches!(self, Self::Missing { .. })
    }

    /// Returns the reason, one line for people.
    pub fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason, .. }
            | Self::Unauthorized { reason }
            | Self::StaleToken { reason }
            | Self::Forbidden { reason }
            | Self::Missing { reason }
            | Self::Rejected { reason } => reason,
        }
    }

    /// Converts an error of a request that reads the state of a run. Only an outage passes by itself, but a wrong secret
    /// can be replaced while the host runs, so that the run must not be given up.
    pub fn while_reading(self) -> PipelineError {
        PipelineError::Unavailable { message: self.reason().to_owned() }
    }

    /// Converts an error of a request whose result no run depends on, for example one that was to change something.
    pub fn while_changing(self) -> PipelineError {
        let message = self.reason().to_owned();
        if self.is_transient() { PipelineError::Unavailable { message } } else { PipelineError::Refused { message } }
    }
}

impl std::fmt::Display for RemoteError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

/// Returns the beginning of the body of a response as text.
pub fn excerpt(body: &[u8]) -> String {
    String::from_utf8_lossy(&body[..body.len().min(MAX_EXCERPT)]).into_owned()
}

/// Returns the text for a redirect of a request to `name`. Only the origin of its target is shown, because its query can
/// contain a secret.
pub fn redirect(name: &str, headers: &HeaderMap) -> String {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
    let is_login = ["login", "signin", "oauth", "saml", "sso", "auth"].iter().any(|word| to.contains(word));
    let origin = reqwest::Url::parse(to).ok().map(|to| format!(" to {}", to.origin().ascii_serialization()));
    let origin = origin.unwrap_or_default();
    if is_login {
        format!(
            "the request was redirected{origin} to a login page instead of being answered; check the user and the \
             secret, and let a proxy in front of {name} pass requests of the API"
        )
    } else {
        format!(
            "the request was redirected{origin} instead of being answered; set `url` to the address of {name} itself"
        )
    }
}

/// Returns the delay that a response requests in `Retry-After`, in seconds.
pub fn requested_delay(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(Backoff::MAX_REQUESTED))
}

/// Returns a status, with the text of an error page if it has one: `503: Service Unavailable`.
pub fn with_text(status: StatusCode, excerpt: &str) -> String {
    let number = status.as_u16();
    match title(excerpt).or_else(|| plain(excerpt)) {
        Some(text) => format!("{number}: {text}"),
        None => number.to_string(),
    }
}

/// Returns a text of a server for one line of a message: without control characters, and not too long.
pub fn shorten(text: &str) -> String {
    clean(text).chars().take(MAX_TEXT).collect()
}

fn title(html: &str) -> Option<String> {
    let begin = html.find("<title>")? + "<title>".len();
    let end = begin + html[begin..].find('<')?;
    Some(shorten(html[begin..end].trim())).filter(|title| !title.is_empty())
}

/// Returns the first line of a text that is not HTML.
fn plain(text: &str) -> Option<String> {
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    (!text.trim_start().starts_with('<')).then(|| shorten(line))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_shows_the_origin_of_its_target_only() {
        let to = |target: &'static str| redirect("Gate", &[(LOCATION, target.parse().unwrap())].into_iter().collect());
        let text = to("https://idp.example.org/login?state=hunter2");
        assert!(text.contains("to https://idp.example.org to a login page"), "{text}");
        assert!(!text.contains("hunter2"), "{text}");
        assert!(to("/other?x=hunter2").ends_with("set `url` to the address of Gate itself"));
    }

    #[test]
    fn the_requested_delay_is_limited() {
        let delay =
            |value: &'static str| requested_delay(&[(RETRY_AFTER, value.parse().unwrap())].into_iter().collect());
        assert_eq!(delay("7"), Some(Duration::from_secs(7)));
        assert_eq!(delay("999999999"), Some(Backoff::MAX_REQUESTED));
        assert_eq!(delay("Wed, 21 Oct 2026 07:28:00 GMT"), None);
    }

    #[test]
    fn a_page_is_told_by_its_title() {
        let headers = [(CONTENT_TYPE, "text/html".parse().unwrap())].into_iter().collect();
        let error = RemoteError::not_the_api("Jenkins", &headers, b"<html><head><title>Sign in [Jenkins]</title>");
        assert!(error.reason().starts_with("an HTML page with the title \"Sign in [Jenkins]\""), "{error}");
        let long = format!("<title>{}</title>", "x".repeat(10_000));
        assert!(RemoteError::not_the_api("Jenkins", &headers, long.as_bytes()).reason().len() < 600);
    }
}
