//! What a failed request means for us: wait, give up, or end.
//!
//! Architecture Invariant: only what Mattermost itself says is final. What is no answer of Mattermost comes from a
//! proxy in front of a server that is not up, and passes.

use std::time::Duration;

use reqwest::{
    StatusCode,
    header::{HeaderMap, LOCATION, RETRY_AFTER},
};
use serde_json::Value;
use wardroom::{port::SendError, reply::clean};
use wardroom_account::LONGEST_ASKED;
pub(crate) use wardroom_account::chain;

/// A post with this `pending_post_id` is just being made.
const IN_FLIGHT: &str = "api.post.deduplicate_create_post.pending";

/// Why a request came to nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// The server is away, busy, or limits our rate.
    Later {
        /// How long it asks us to wait.
        after: Option<Duration>,
        /// For the log.
        reason: String,
    },
    /// It does not know our token, or no longer.
    LoggedOut {
        /// For the log.
        reason: String,
    },
    /// It refuses, and would again.
    Refused {
        /// Whether there is no such thing as was asked for.
        missing: bool,
        /// The server's own name for why; empty where it has none.
        id: String,
        /// For the log.
        reason: String,
    },
}

impl Trouble {
    /// Something that may pass.
    pub(crate) fn later(reason: impl Into<String>) -> Self {
        Self::Later { after: None, reason: reason.into() }
    }

    /// Something that would be refused again, for no reason of the server's.
    pub(crate) fn refused(reason: impl Into<String>) -> Self {
        Self::Refused { missing: false, id: String::new(), reason: reason.into() }
    }

    /// The same trouble, with what was wanted in its reason.
    pub(crate) fn about(mut self, what: &str) -> Self {
        let (Self::Later { reason, .. } | Self::LoggedOut { reason } | Self::Refused { reason, .. }) = &mut self;
        *reason = format!("{what}: {reason}");
        self
    }

    /// For the log.
    pub(crate) fn reason(&self) -> &str {
        match self {
            Self::Later { reason, .. } | Self::LoggedOut { reason } | Self::Refused { reason, .. } => reason,
        }
    }

    /// How long the server asks us to wait.
    pub(crate) fn after(&self) -> Option<Duration> {
        match self {
            Self::Later { after, .. } => *after,
            _ => None,
        }
    }

    /// The server's own name for a refusal.
    pub(crate) fn refusal(&self) -> Option<&str> {
        match self {
            Self::Refused { id, .. } => Some(id),
            _ => None,
        }
    }
}

impl std::fmt::Display for Trouble {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.reason())
    }
}

impl From<Trouble> for SendError {
    fn from(trouble: Trouble) -> Self {
        match trouble {
            // The account ends, and the message is not lost: it is in the outbox at the next start.
            Trouble::LoggedOut { reason } => Self::Later { after: None, reason },
            Trouble::Later { after, reason } => Self::Later { after, reason },
            Trouble::Refused { reason, .. } => Self::Never { reason },
        }
    }
}

impl From<reqwest::Error> for Trouble {
    fn from(error: reqwest::Error) -> Self {
        Self::later(chain(&error.without_url()))
    }
}

/// What an answer that is no success means.
pub(crate) fn judge(status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Trouble {
    let own = OwnError::read(body);
    let reason = match &own {
        Some(own) => format!("{} ({}: {})", status.as_u16(), clean(&own.id), shortened(&own.message)),
        None => format!("{status}"),
    };
    match status.as_u16() {
        // A proxy that wants a login of its own says nothing of our token.
        401 => match own.filter(|own| own.status == Some(401)) {
            Some(_) => Trouble::LoggedOut { reason },
            None => Trouble::later(format!("{reason}: something in front of the server wants another login")),
        },
        429 => Trouble::Later { after: Some(asked(headers)), reason },
        300..=399 => {
            let to = headers.get(LOCATION).and_then(|to| to.to_str().ok()).unwrap_or_default();
            let to = reqwest::Url::parse(to).ok().map(|to| to.origin().ascii_serialization());
            let to = to.map(|to| format!(" to {to}")).unwrap_or_default();
            Trouble::later(format!("{reason}: `url` sends us elsewhere{to}, and must be where Mattermost answers"))
        }
        413 => Trouble::Refused { missing: false, id: own.map(|own| own.id).unwrap_or_default(), reason },
        408 | 425 | 500.. => {
            let in_flight = own.is_some_and(|own| own.id == IN_FLIGHT);
            Trouble::Later { after: in_flight.then_some(Duration::from_millis(500)), reason }
        }
        _ => match own {
            Some(own) => Trouble::Refused { missing: status == StatusCode::NOT_FOUND, id: own.id, reason },
            None => Trouble::later(reason),
        },
    }
}

/// How long a server that limits our rate wants us to wait.
fn asked(headers: &HeaderMap) -> Duration {
    let seconds = |name: &str| headers.get(name)?.to_str().ok()?.trim().parse::<f64>().ok();
    // Documented as a moment, and in fact the seconds until then.
    let reset = || seconds("x-ratelimit-reset").filter(|seconds| *seconds < 3600.0);
    let asked = seconds(RETRY_AFTER.as_str()).or_else(reset).unwrap_or(1.0);
    Duration::from_secs_f64(asked.clamp(0.1, LONGEST_ASKED.as_secs_f64()))
}

/// What Mattermost says of its own errors. The message is in the server's language.
struct OwnError {
    id: String,
    message: String,
    /// The answer's status once more.
    status: Option<u64>,
}

impl OwnError {
    fn read(body: &[u8]) -> Option<Self> {
        let body: Value = serde_json::from_slice(body).ok()?;
        let text = |key: &str| body.get(key).and_then(Value::as_str).map(str::to_owned);
        let id = text("id").filter(|id| !id.is_empty())?;
        Some(Self { id, message: text("message").unwrap_or_default(), status: body["status_code"].as_u64() })
    }
}

fn shortened(text: &str) -> String {
    clean(text).chars().take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> Trouble {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        judge(StatusCode::from_u16(status).unwrap(), &headers, body.as_bytes())
    }

    fn own(status: u16, id: &str) -> Trouble {
        answer(status, &[], &format!(r#"{{"id":"{id}","message":"x","status_code":{status}}}"#))
    }

    #[test]
    fn a_rate_limit_is_waited_out_for_as_long_as_asked() {
        let wait = |headers: &[_]| answer(429, headers, "limit exceeded\n").after();
        assert_eq!(wait(&[("Retry-After", "2")]), Some(Duration::from_secs(2)));
        assert_eq!(wait(&[("X-RateLimit-Reset", "3")]), Some(Duration::from_secs(3)));
        assert_eq!(wait(&[("X-RateLimit-Reset", "1763749513")]), Some(Duration::from_secs(1)), "a moment");
        assert_eq!(wait(&[("Retry-After", "soon")]), Some(Duration::from_secs(1)));
    }

    #[test]
    fn mattermosts_refusal_is_final_and_a_proxys_is_not() {
        assert!(matches!(own(403, "api.context.permissions.app_error"), Trouble::Refused { .. }));
        assert!(matches!(own(400, "x"), Trouble::Refused { .. }));
        assert!(matches!(answer(404, &[], "<html>nginx</html>"), Trouble::Later { .. }));
        assert!(matches!(answer(403, &[], r#"{"error":"waf"}"#), Trouble::Later { .. }));
        assert!(matches!(own(502, "x"), Trouble::Later { .. }));
        assert_eq!(own(500, IN_FLIGHT).after(), Some(Duration::from_millis(500)));
    }

    #[test]
    fn only_a_401_of_mattermost_ends_the_account_and_the_message_is_kept() {
        let over = own(401, "api.context.session_expired.app_error");
        assert!(matches!(over, Trouble::LoggedOut { .. }));
        assert!(matches!(SendError::from(over), SendError::Later { .. }));
    }

    #[test]
    fn a_401_of_what_stands_in_front_of_the_server_passes() {
        for (headers, body) in [
            (&[("WWW-Authenticate", "Basic")][..], "no"),
            (&[], ""),
            (&[], "<html>Sign in</html>"),
            (&[], r#"{"error":"login required"}"#),
            (&[], r#"{"id":"","message":"x","status_code":401}"#),
            (&[], r#"{"id":"7f3a","message":"Unauthorized"}"#),
            (&[], r#"["id"]"#),
        ] {
            let trouble = answer(401, headers, body);
            assert!(matches!(trouble, Trouble::Later { .. }), "{body}: {trouble:?}");
            assert!(trouble.reason().contains("in front of the server"), "{trouble}");
        }
    }

    #[test]
    fn what_is_not_there_is_told_from_what_is_not_allowed() {
        assert!(matches!(own(404, "x"), Trouble::Refused { missing: true, .. }));
        assert!(matches!(own(403, "x"), Trouble::Refused { missing: false, .. }));
    }

    #[test]
    fn a_redirect_says_where_to_and_nothing_secret() {
        let trouble = answer(301, &[("Location", "https://chat.example.org/api/v4/x?token=hunter2")], "");
        assert!(trouble.reason().contains("https://chat.example.org,"), "{trouble}");
        assert!(!trouble.reason().contains("hunter2"), "{trouble}");
    }
}
