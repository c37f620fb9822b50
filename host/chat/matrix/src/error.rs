//! Classifies the errors of requests and of file operations by how the account must react, for example with a retry or
//! a new login.

use std::time::Duration;

use matrix_sdk::{
    HttpError, RefreshTokenError, RumaApiError,
    ruma::api::error::{ErrorBody, ErrorKind, FromHttpResponseError, RetryAfter},
};
use wardroom::adapter::SendError;
use wardroom_account::error_chain;

use crate::responses::{self, Reaction, Request};

/// The delay before a retry after a rate limit that requests no delay.
const DEFAULT_DELAY: Duration = Duration::from_secs(5);

/// A failed request or file operation. The reason is one line for the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum MatrixError {
    /// The homeserver is unreachable or overloaded, or limits the rate of requests. A retry can succeed.
    Unavailable {
        /// The delay that the homeserver requests before a retry.
        retry_after: Option<Duration>,
        reason: String,
    },
    /// A file operation in the account's state folder or in the SDK's stores failed. A retry can succeed.
    Local { reason: String },
    /// The homeserver ended the session.
    SessionEnded {
        /// Whether the homeserver keeps the device and accepts a new login for it.
        soft_logout: bool,
        reason: String,
    },
    /// The homeserver's public keys of this device do not match the private keys in the key store.
    DeviceKeysLost { reason: String },
    /// The account has no permission to send an event to the room.
    Forbidden { reason: String },
    /// The account may send to no room, for example because it is suspended.
    AccountRestricted { reason: String },
    /// The event is too large. A shorter message can succeed.
    TooLarge { reason: String },
    /// The homeserver or the configuration rejects the request. A retry would fail in the same way.
    Rejected { reason: String },
}

impl MatrixError {
    /// Creates the error of a failed local operation, for example on a file. `what` says what failed, for example `the
    /// key store failed`.
    pub(crate) fn local(what: &str, error: &dyn std::error::Error) -> Self {
        Self::Local { reason: format!("{what}: {}", error_chain(error)) }
    }

    pub(crate) fn unavailable(reason: impl Into<String>) -> Self {
        Self::Unavailable { retry_after: None, reason: reason.into() }
    }

    pub(crate) fn rejected(reason: impl Into<String>) -> Self {
        Self::Rejected { reason: reason.into() }
    }

    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Unavailable { reason, .. }
            | Self::Local { reason }
            | Self::SessionEnded { reason, .. }
            | Self::DeviceKeysLost { reason }
            | Self::Forbidden { reason }
            | Self::AccountRestricted { reason }
            | Self::TooLarge { reason }
            | Self::Rejected { reason } => reason,
        }
    }

    /// Returns whether the session cannot be continued.
    pub(crate) fn ends_session(&self) -> bool {
        matches!(self, Self::SessionEnded { .. } | Self::DeviceKeysLost { .. })
    }

    /// Returns whether a retry can succeed.
    pub(crate) fn is_transient(&self) -> bool {
        matches!(self, Self::Unavailable { .. } | Self::Local { .. })
    }

    /// Returns the delay that the homeserver requests before a retry.
    pub(crate) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Unavailable { retry_after, .. } => *retry_after,
            _ => None,
        }
    }
}

impl MatrixError {
    /// Classifies the error of a request.
    pub(crate) fn of(request: Request, error: &HttpError) -> Self {
        match error {
            HttpError::Cached(error) => Self::of(request, error.as_ref()),
            // The refresh of an access token is rejected after the session ended.
            HttpError::RefreshToken(RefreshTokenError::MatrixAuth(error)) => match Self::from(error.as_ref()) {
                Self::Rejected { reason } => Self::SessionEnded { soft_logout: false, reason },
                other => other,
            },
            HttpError::RefreshToken(RefreshTokenError::RefreshTokenRequired) => {
                Self::SessionEnded { soft_logout: false, reason: error_chain(error) }
            }
            HttpError::Api(api) => match api.as_ref() {
                FromHttpResponseError::Server(RumaApiError::MatrixError(answer)) => {
                    classify(request, answer.status_code.as_u16(), &answer.body, answer.to_string())
                }
                // An answer in another format comes from a proxy, for example because the homeserver is down.
                _ => Self::unavailable(error_chain(error)),
            },
            HttpError::IntoHttp(_) => Self::rejected(error_chain(error)),
            _ => Self::unavailable(error_chain(error)),
        }
    }

    /// Classifies the SDK's error of a request.
    pub(crate) fn of_sdk(request: Request, error: &matrix_sdk::Error) -> Self {
        match error {
            matrix_sdk::Error::Http(http) => Self::of(request, http.as_ref()),
            matrix_sdk::Error::CryptoStoreError(_)
            | matrix_sdk::Error::StateStore(_)
            | matrix_sdk::Error::BadCryptoStoreState
            | matrix_sdk::Error::Io(_) => Self::local("the account's key store or state store failed", error),
            // The account left the room after the caller looked the room up.
            matrix_sdk::Error::WrongRoomState(_) if request == Request::Event => {
                Self::Forbidden { reason: error_chain(error) }
            }
            matrix_sdk::Error::WrongRoomState(_) => Self::rejected(error_chain(error)),
            _ => Self::unavailable(error_chain(error)),
        }
    }
}

impl From<&HttpError> for MatrixError {
    fn from(error: &HttpError) -> Self {
        Self::of(Request::Other, error)
    }
}

impl From<HttpError> for MatrixError {
    fn from(error: HttpError) -> Self {
        Self::from(&error)
    }
}

impl From<matrix_sdk::Error> for MatrixError {
    fn from(error: matrix_sdk::Error) -> Self {
        Self::of_sdk(Request::Other, &error)
    }
}

impl From<MatrixError> for SendError {
    fn from(error: MatrixError) -> Self {
        match error {
            MatrixError::Rejected { reason } | MatrixError::TooLarge { reason } => Self::Never { reason },
            MatrixError::Forbidden { reason } | MatrixError::AccountRestricted { reason } => Self::Forbidden { reason },
            // After the end of a session, the message stays in the outbox until the account is logged in again.
            error => Self::Later { after: error.retry_after(), reason: error.reason().to_owned() },
        }
    }
}

/// Classifies an error response by the table in `responses`.
fn classify(request: Request, status: u16, body: &ErrorBody, reason: String) -> MatrixError {
    let kind = match body {
        ErrorBody::Standard(body) => Some(&body.kind),
        _ => None,
    };
    let code = kind.map(ErrorKind::errcode);
    match responses::reaction(request, status, code.as_ref().map(AsRef::as_ref)) {
        Reaction::Retry => MatrixError::Unavailable { retry_after: requested_delay(status, kind), reason },
        Reaction::EndSession => {
            let soft_logout = matches!(kind, Some(ErrorKind::UnknownToken(token)) if token.soft_logout);
            MatrixError::SessionEnded { soft_logout, reason }
        }
        Reaction::AwaitPermission => MatrixError::Forbidden { reason },
        Reaction::AwaitAccount => MatrixError::AccountRestricted { reason },
        Reaction::Shorten => MatrixError::TooLarge { reason },
        Reaction::Reject => MatrixError::rejected(reason),
    }
}

/// Returns the delay that a rate limit requests before a retry, or [`DEFAULT_DELAY`]; `None` if the response is not of
/// a rate limit.
fn requested_delay(status: u16, kind: Option<&ErrorKind>) -> Option<Duration> {
    let requested = match kind {
        Some(ErrorKind::LimitExceeded(limit)) => match &limit.retry_after {
            Some(RetryAfter::Delay(delay)) => Some(*delay),
            Some(RetryAfter::DateTime(time)) => time.duration_since(std::time::SystemTime::now()).ok(),
            None => None,
        },
        _ if status == 429 => None,
        _ => return None,
    };
    Some(requested.unwrap_or(DEFAULT_DELAY))
}

impl std::fmt::Display for MatrixError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, json: &str) -> MatrixError {
        answer_to(Request::Other, status, json)
    }

    fn answer_to(request: Request, status: u16, json: &str) -> MatrixError {
        let body: ErrorBody = match serde_json::from_str(json) {
            Ok(standard) => ErrorBody::Standard(standard),
            Err(_) => ErrorBody::Json(serde_json::from_str(json).expect("JSON")),
        };
        classify(request, status, &body, "why".into())
    }

    #[test]
    fn a_rate_limit_keeps_the_delay_that_the_homeserver_requests() {
        let error = answer(429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":2500}"#);
        assert_eq!(error.retry_after(), Some(Duration::from_millis(2500)));
        assert!(matches!(SendError::from(error), SendError::Later { after: Some(_), .. }));
        // A homeserver need not request a delay, and a proxy can limit the rate in its place.
        for body in [r#"{"errcode":"M_LIMIT_EXCEEDED","error":"x"}"#, r#"{"message":"slow down"}"#] {
            assert_eq!(answer(429, body).retry_after(), Some(DEFAULT_DELAY), "{body}");
        }
        assert_eq!(answer(503, r#"{"errcode":"M_UNKNOWN","error":"x"}"#).retry_after(), None);
    }

    #[test]
    fn a_rejection_of_the_homeserver_is_final_and_one_of_a_proxy_is_not() {
        assert!(matches!(answer(403, r#"{"errcode":"M_FORBIDDEN","error":"x"}"#), MatrixError::Rejected { .. }));
        assert!(matches!(answer(404, r#"{"errcode":"M_NOT_FOUND","error":"x"}"#), MatrixError::Rejected { .. }));
        assert!(matches!(answer(413, r#"{"errcode":"M_TOO_LARGE","error":"x"}"#), MatrixError::Rejected { .. }));
        assert!(matches!(answer(404, r#"{"message":"no such page"}"#), MatrixError::Unavailable { .. }));
        assert!(matches!(answer(502, r#"{"errcode":"M_UNKNOWN","error":"x"}"#), MatrixError::Unavailable { .. }));
    }

    #[test]
    fn a_message_waits_for_a_permission_and_one_that_is_too_large_is_dropped() {
        let forbidden = answer_to(Request::Event, 403, r#"{"errcode":"M_FORBIDDEN","error":"x"}"#);
        assert!(matches!(SendError::from(forbidden), SendError::Forbidden { .. }));
        let large = answer_to(Request::Event, 413, r#"{"errcode":"M_TOO_LARGE","error":"x"}"#);
        assert!(matches!(large, MatrixError::TooLarge { .. }));
        assert!(matches!(SendError::from(large), SendError::Never { .. }));
        // An error code that the SDK does not know.
        let unknown = answer_to(Request::Event, 403, r#"{"errcode":"ORG_EXAMPLE_NO","error":"x"}"#);
        assert!(matches!(unknown, MatrixError::Rejected { .. }));
    }

    #[test]
    fn a_message_is_kept_when_the_session_ends() {
        let error = answer(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"x"}"#);
        assert!(matches!(error, MatrixError::SessionEnded { soft_logout: false, .. }));
        assert!(matches!(SendError::from(error), SendError::Later { .. }));
        let soft = answer(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"x","soft_logout":true}"#);
        assert!(matches!(soft, MatrixError::SessionEnded { soft_logout: true, .. }));
    }
}
