//! A failed request to a Vault server, and its text for people.
//!
//! Invariant: no error contains a secret or the URL of a request. Text of a response is cleaned and shortened.
//! Sources: the status codes of the API documentation (`api-docs/index.mdx`), and answers of OpenBao 2.7.

use std::time::Duration;

use reqwest::header::{HeaderMap, LOCATION, RETRY_AFTER};
use serde_json::Value;
use wardroom::base::{Backoff, clean, spoken_duration};
use wardroom_account::error_chain;

/// The maximum length of a text of a response in an error, in characters.
const MAX_TEXT: usize = 200;

/// A failed request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum VaultError {
    /// The server did not answer, or answered with an error that can pass. The reason is one line for people.
    Outage { reason: String, retry_after: Option<Duration> },
    /// The token is not valid, or its policies do not allow the request (403). `lookup-self` decides which.
    Denied,
    /// There is nothing at the path (404). `version` describes a deleted version.
    Missing { version: Option<DeletedVersion>, text: Option<String> },
    /// The server rejects the request. A repetition would fail in the same way.
    Rejected { text: String },
}

/// The newest version of a key-value secret, which was deleted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct DeletedVersion {
    pub(crate) number: u64,
    /// Whether the version was destroyed, so that it cannot be restored.
    pub(crate) destroyed: bool,
}

impl VaultError {
    pub(crate) fn outage(reason: impl Into<String>) -> Self {
        Self::Outage { reason: reason.into(), retry_after: None }
    }
}

/// Converts an error without a response.
pub(crate) fn no_response(error: reqwest::Error, server: &str, timeout: Duration) -> VaultError {
    if error.is_timeout() && !error.is_connect() {
        return VaultError::outage(format!("{server} did not answer within {}", spoken_duration(timeout)));
    }
    VaultError::outage(format!("{server} cannot be reached: {}", clean(&error_chain(&error.without_url()))))
}

/// Classifies an error response. `server` is the server for people, without a path.
pub(crate) fn classify(status: u16, headers: &HeaderMap, body: &[u8], server: &str) -> VaultError {
    let json: Option<Value> = serde_json::from_slice(body).ok();
    let text = json.as_ref().and_then(error_text);
    let with_text = |what: &str| match &text {
        Some(text) => format!("{what} ({status}: {text})"),
        None => format!("{what} ({status})"),
    };
    let outage = |reason: String| VaultError::Outage { reason, retry_after: requested_delay(headers) };
    match status {
        403 => VaultError::Denied,
        404 => VaultError::Missing { version: json.as_ref().and_then(deleted_version), text },
        // A replica does not have the state yet that the token's cluster has.
        412 => outage(with_text(&format!("{server} is a replica that is behind"))),
        429 => outage(with_text(&format!("{server} limits the rate of requests"))),
        472 | 473 => outage(format!("{server} is a standby server ({status}); set `url` to the active server")),
        501 => outage(format!("{server} is not initialized ({status})")),
        503 => outage(with_text(&format!("{server} is unavailable"))),
        300..=399 => outage(redirect(headers, server)),
        500..=599 | 408 => outage(with_text(&format!("{server} or a proxy in front of it failed"))),
        _ => VaultError::Rejected { text: text.unwrap_or_else(|| format!("status {status}")) },
    }
}

/// Returns the texts of `{"errors": [...]}` in one line.
fn error_text(json: &Value) -> Option<String> {
    let errors = json.get("errors")?.as_array()?;
    let texts: Vec<String> = errors.iter().filter_map(|text| text.as_str()).map(one_line).collect();
    let text = texts.join("; ");
    (!text.is_empty()).then(|| text.chars().take(MAX_TEXT).collect())
}

fn one_line(text: &str) -> String {
    // Several errors are a list with asterisks: "1 error occurred:\n\t* permission denied\n\n".
    let text = clean(&text.replace(['\n', '\t'], " "));
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    text.split_once(" error occurred: * ").map_or(text.clone(), |(_, first)| first.to_owned())
}

/// A deleted version is an answer with status 404 that has metadata.
fn deleted_version(json: &Value) -> Option<DeletedVersion> {
    let metadata = json.get("data")?.get("metadata")?;
    Some(DeletedVersion {
        number: metadata.get("version")?.as_u64()?,
        destroyed: metadata.get("destroyed").and_then(Value::as_bool).unwrap_or(false),
    })
}

/// Returns the text for a redirect. Only the origin of its target is shown, because its query can contain a secret.
fn redirect(headers: &HeaderMap, server: &str) -> String {
    let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
    let origin = reqwest::Url::parse(to).ok().map(|to| format!(" to {}", to.origin().ascii_serialization()));
    let origin = origin.unwrap_or_default();
    format!(
        "{server} redirects requests{origin}, and the host does not send its token there; set `url` to the active server or \
         to a load balancer that passes requests on"
    )
}

/// Returns the delay that a response requests in `Retry-After`, in seconds.
fn requested_delay(headers: &HeaderMap) -> Option<Duration> {
    let seconds: u64 = headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Some(Duration::from_secs(seconds).min(Backoff::MAX_REQUESTED))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> VaultError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        classify(status, &headers, body.as_bytes(), "https://v")
    }

    fn reason(error: VaultError) -> String {
        match error {
            VaultError::Outage { reason, .. } => reason,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn each_error_response_has_one_meaning() {
        assert_eq!(answer(403, &[], r#"{"errors":["permission denied"]}"#), VaultError::Denied);
        assert_eq!(answer(404, &[], r#"{"errors":[]}"#), VaultError::Missing { version: None, text: None });
        let deleted = r#"{"data":{"data":null,"metadata":{"version":3,"destroyed":false}}}"#;
        let version = Some(DeletedVersion { number: 3, destroyed: false });
        assert_eq!(answer(404, &[], deleted), VaultError::Missing { version, text: None });
        let text = "invalid role or secret ID".to_owned();
        assert_eq!(answer(400, &[], r#"{"errors":["invalid role or secret ID"]}"#), VaultError::Rejected { text });
        assert_eq!(answer(405, &[], "<html>"), VaultError::Rejected { text: "status 405".into() });
        for (status, expected) in [
            (412, "https://v is a replica that is behind (412)"),
            (429, "https://v limits the rate of requests (429)"),
            (472, "https://v is a standby server (472); set `url` to the active server"),
            (473, "https://v is a standby server (473); set `url` to the active server"),
            (501, "https://v is not initialized (501)"),
            (503, "https://v is unavailable (503)"),
            (502, "https://v or a proxy in front of it failed (502)"),
        ] {
            assert_eq!(reason(answer(status, &[], "")), expected);
        }
    }

    #[test]
    fn a_list_of_errors_is_one_line() {
        let body = r#"{"errors":["1 error occurred:\n\t* internal error\n\n"]}"#;
        assert_eq!(reason(answer(500, &[], body)), "https://v or a proxy in front of it failed (500: internal error)");
    }

    #[test]
    fn a_redirect_shows_the_origin_of_its_target_only() {
        let reason = reason(answer(307, &[("Location", "https://active:8200/v1/x?token=hunter2")], ""));
        assert!(reason.starts_with("https://v redirects requests to https://active:8200, and"), "{reason}");
        assert!(!reason.contains("hunter2"), "{reason}");
    }

    #[test]
    fn the_requested_delay_is_limited() {
        let VaultError::Outage { retry_after, .. } = answer(429, &[("Retry-After", "999999")], "") else { panic!() };
        assert_eq!(retry_after, Some(Backoff::MAX_REQUESTED));
    }
}
