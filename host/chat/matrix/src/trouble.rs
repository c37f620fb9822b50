//! What a failed request means for us: wait, give up, or log in again.

use std::time::Duration;

use matrix_sdk::{
    HttpError, RefreshTokenError, RumaApiError,
    ruma::api::error::{ErrorBody, ErrorKind, FromHttpResponseError, RetryAfter},
};
use wardroom::port::SendError;
pub(crate) use wardroom_account::chain;

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The homeserver is away, busy, or limits our rate.
    Later {
        /// How long it asks us to wait.
        after: Option<Duration>,
        /// For the log.
        reason: String,
    },
    /// Something on this machine failed: the folder, the stores. It may pass.
    Local {
        /// For the log.
        reason: String,
    },
    /// The session is over.
    LoggedOut {
        /// Whether the homeserver keeps the device, and wants to be logged in to again.
        soft: bool,
        /// For the log.
        reason: String,
    },
    /// The homeserver has other keys of this device than we have.
    KeysLost {
        /// For the log.
        reason: String,
    },
    /// It refuses, and would again.
    Refused {
        /// For the log.
        reason: String,
    },
}

impl Trouble {
    /// Something on this machine failed, which may pass.
    pub(crate) fn local(what: &str, error: &dyn std::error::Error) -> Self {
        Self::Local { reason: format!("{what}: {}", chain(error)) }
    }

    /// For the log.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Later { reason, .. }
            | Self::Local { reason }
            | Self::LoggedOut { reason, .. }
            | Self::KeysLost { reason }
            | Self::Refused { reason } => reason,
        }
    }

    /// Whether this session can never go on.
    pub(crate) fn is_the_end(&self) -> bool {
        matches!(self, Self::LoggedOut { .. } | Self::KeysLost { .. })
    }

    /// Whether waiting may help.
    pub(crate) fn passes(&self) -> bool {
        matches!(self, Self::Later { .. } | Self::Local { .. })
    }

    /// How long the homeserver asks us to wait.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            _ => None,
        }
    }
}

impl From<&HttpError> for Trouble {
    fn from(error: &HttpError) -> Self {
        match error {
            HttpError::Cached(error) => Self::from(error.as_ref()),
            // A session that ends does so at the moment when its token is to be changed.
            HttpError::RefreshToken(RefreshTokenError::MatrixAuth(error)) => match Self::from(error.as_ref()) {
                Self::Refused { reason } => Self::LoggedOut { soft: false, reason },
                other => other,
            },
            HttpError::RefreshToken(RefreshTokenError::RefreshTokenRequired) => {
                Self::LoggedOut { soft: false, reason: chain(error) }
            }
            HttpError::Api(api) => match api.as_ref() {
                FromHttpResponseError::Server(RumaApiError::MatrixError(answer)) => {
                    judge(answer.status_code.as_u16(), &answer.body, answer.to_string())
                }
                // What is no Matrix answer comes from a proxy in front of a homeserver that is not up.
                _ => Self::Later { after: None, reason: chain(error) },
            },
            HttpError::IntoHttp(_) => Self::Refused { reason: chain(error) },
            _ => Self::Later { after: None, reason: chain(error) },
        }
    }
}

impl From<HttpError> for Trouble {
    fn from(error: HttpError) -> Self {
        Self::from(&error)
    }
}

impl From<matrix_sdk::Error> for Trouble {
    fn from(error: matrix_sdk::Error) -> Self {
        match &error {
            matrix_sdk::Error::Http(http) => Self::from(http.as_ref()),
            matrix_sdk::Error::CryptoStoreError(_)
            | matrix_sdk::Error::StateStore(_)
            | matrix_sdk::Error::BadCryptoStoreState
            | matrix_sdk::Error::Io(_) => Self::local("the stores of the account", &error),
            matrix_sdk::Error::WrongRoomState(_) => Self::Refused { reason: chain(&error) },
            _ => Self::Later { after: None, reason: chain(&error) },
        }
    }
}

impl From<Trouble> for SendError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            // The account logs in again, or the host stops: either way the message is not lost.
            Trouble::LoggedOut { reason, .. } | Trouble::KeysLost { reason } | Trouble::Local { reason } => {
                Self::Later { after: None, reason }
            }
            Trouble::Later { after, reason } => Self::Later { after, reason },
            Trouble::Refused { reason } => Self::Never { reason },
        }
    }
}

fn judge(status: u16, body: &ErrorBody, reason: String) -> Trouble {
    let ErrorBody::Standard(body) = body else {
        // No errcode: not a homeserver's own refusal.
        return Trouble::Later { after: None, reason };
    };
    match &body.kind {
        ErrorKind::UnknownToken(token) => Trouble::LoggedOut { soft: token.soft_logout, reason },
        ErrorKind::MissingToken => Trouble::LoggedOut { soft: false, reason },
        ErrorKind::LimitExceeded(limit) => {
            let after = match &limit.retry_after {
                Some(RetryAfter::Delay(delay)) => Some(*delay),
                Some(RetryAfter::DateTime(time)) => time.duration_since(std::time::SystemTime::now()).ok(),
                None => None,
            };
            Trouble::Later { after, reason }
        }
        ErrorKind::ResourceLimitExceeded { .. } => Trouble::Later { after: None, reason },
        _ if status == 429 || status == 408 || status >= 500 => Trouble::Later { after: None, reason },
        _ => Trouble::Refused { reason },
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, json: &str) -> Trouble {
        let body: ErrorBody = match serde_json::from_str(json) {
            Ok(standard) => ErrorBody::Standard(standard),
            Err(_) => ErrorBody::Json(serde_json::from_str(json).expect("JSON")),
        };
        judge(status, &body, "why".into())
    }

    #[test]
    fn a_rate_limit_is_waited_out_for_as_long_as_asked() {
        let trouble = answer(429, r#"{"errcode":"M_LIMIT_EXCEEDED","error":"x","retry_after_ms":2500}"#);
        assert_eq!(trouble.after(), Some(Duration::from_millis(2500)));
        assert!(matches!(SendError::from(trouble), SendError::Later { after: Some(_), .. }));
    }

    #[test]
    fn a_homeservers_refusal_is_final_and_a_proxys_is_not() {
        assert!(matches!(answer(403, r#"{"errcode":"M_FORBIDDEN","error":"x"}"#), Trouble::Refused { .. }));
        assert!(matches!(answer(404, r#"{"errcode":"M_NOT_FOUND","error":"x"}"#), Trouble::Refused { .. }));
        assert!(matches!(answer(413, r#"{"errcode":"M_TOO_LARGE","error":"x"}"#), Trouble::Refused { .. }));
        assert!(matches!(answer(404, r#"{"message":"no such page"}"#), Trouble::Later { .. }));
        assert!(matches!(answer(502, r#"{"errcode":"M_UNKNOWN","error":"x"}"#), Trouble::Later { .. }));
    }

    #[test]
    fn a_lost_session_keeps_the_message() {
        let trouble = answer(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"x"}"#);
        assert!(matches!(trouble, Trouble::LoggedOut { soft: false, .. }));
        assert!(matches!(SendError::from(trouble), SendError::Later { .. }));
        let soft = answer(401, r#"{"errcode":"M_UNKNOWN_TOKEN","error":"x","soft_logout":true}"#);
        assert!(matches!(soft, Trouble::LoggedOut { soft: true, .. }));
    }
}
