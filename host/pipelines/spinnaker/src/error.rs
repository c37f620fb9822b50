//! The texts of the error responses of Gate.
//!
//! Invariant: no error contains a secret or the URL of a request. Text of a response is cleaned and shortened.

use serde::Deserialize;
use wardroom_remote::{Answer, RemoteError, excerpt, redirect, requested_delay, shorten, with_text};

use crate::{
    responses::{self, FOREIGN, Meaning, Request, UNCLEAR},
    sign_in::SignedIn,
};

/// What a request is for.
#[derive(Debug, Clone)]
pub(crate) struct Subject {
    pub(crate) request: Request,
    /// The object of the request for people, without an article: ``pipeline `cms/Deploy` ``.
    pub(crate) what: String,
    /// The permission on the application that the request needs, if it is known: `READ` or `EXECUTE`.
    pub(crate) permission: &'static str,
    /// The application; `None` for a list over several.
    pub(crate) application: Option<String>,
}

/// The body of an error response of a service of Spinnaker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct ErrorBody {
    status: Option<u16>,
    message: Option<String>,
    error: Option<String>,
}

/// Classifies a response. Returns `None` for a success.
pub(crate) fn classify(answer: &Answer, subject: &Subject, signed_in: &SignedIn) -> Option<RemoteError> {
    if answer.status.is_success() {
        // Gate answers a request for an execution with nothing if Orca failed.
        let is_empty = answer.body.is_empty() && !answer.is_too_large && subject.request == Request::Read;
        return is_empty
            .then(|| RemoteError::unusable("Gate returned an empty answer, because Orca behind it is unavailable"));
    }
    let Subject { request, what, permission, application } = subject;
    let number = answer.status.as_u16();
    let message = message(&answer.body);
    let code = match &message {
        Some(text) if responses::is_refusal(text) => None,
        Some(_) => Some(UNCLEAR),
        None => Some(FOREIGN),
    };
    let said = match &message {
        Some(text) if text.is_empty() => number.to_string(),
        Some(text) => format!("{number}: {text}"),
        None => with_text(answer.status, &excerpt(&answer.body)),
    };
    let unavailable = |may_be_done, is_outage, reason| RemoteError::Unavailable {
        may_be_done,
        is_outage,
        retry_after: requested_delay(&answer.headers),
        reason,
    };
    Some(match responses::meaning(*request, number, code) {
        Meaning::Unauthorized => RemoteError::Unauthorized { reason: signed_in.rejection(number) },
        // Gate answers a wrong secret with a redirect to its login, before it handles the request.
        Meaning::Redirect => RemoteError::Unauthorized { reason: redirect("Gate", &answer.headers) },
        Meaning::Forbidden => RemoteError::Forbidden {
            reason: format!(
                "Spinnaker forbids the request for the {what} ({said}); give a role of the host's account the permission \
                 {permission} on {}{}",
                application.as_ref().map_or("its application".to_owned(), |name| format!("the application `{name}`")),
                signed_in.role_hint()
            ),
        },
        Meaning::Missing => RemoteError::Missing { reason: format!("Spinnaker has no {what} ({said})") },
        Meaning::Rejected => RemoteError::rejected(format!("Spinnaker rejects the request for the {what} ({said})")),
        Meaning::Unreached => {
            unavailable(false, true, format!("a proxy in front of Gate does not reach it ({said}); check `url`"))
        }
        Meaning::Limited => {
            unavailable(false, true, "Gate or a proxy in front of it limits the rate of requests (429)".to_owned())
        }
        Meaning::Failed => unavailable(true, false, format!("Spinnaker failed on the {what} ({said})")),
        Meaning::Down => unavailable(true, true, format!("Gate or a proxy in front of it is unavailable ({said})")),
    })
}

/// Returns the message of an error response of a service of Spinnaker, which can be empty; `None` for another response.
fn message(body: &[u8]) -> Option<String> {
    let body: ErrorBody = serde_json::from_slice(body).ok()?;
    let text = body.message.filter(|text| !text.trim().is_empty()).or(body.error);
    body.status.is_some().then(|| shorten(text.unwrap_or_default().trim()))
}

#[cfg(test)]
mod tests {
    use reqwest::StatusCode;

    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> RemoteError {
        let answer = Answer {
            status: StatusCode::from_u16(status).unwrap(),
            headers: headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect(),
            body: body.as_bytes().to_vec(),
            is_too_large: false,
        };
        let subject = Subject {
            request: Request::Trigger,
            what: "pipeline `cms/Deploy`".to_owned(),
            permission: "EXECUTE",
            application: Some("cms".to_owned()),
        };
        classify(&answer, &subject, &SignedIn::Certificate).unwrap()
    }

    #[test]
    fn a_missing_permission_is_named() {
        let error = answer(403, &[], r#"{"status":403,"error":"Forbidden","message":"Access is denied"}"#);
        assert_eq!(
            error.reason(),
            "Spinnaker forbids the request for the pipeline `cms/Deploy` (403: Access is denied); give a role of the host's \
             account the permission EXECUTE on the application `cms`, and check that the certificate has its roles \
             (`x509.roleOid`, `x509.required-roles`)"
        );
    }

    #[test]
    fn a_timeout_of_orca_is_no_refusal() {
        for text in ["timeout", "Status: 500, URL: http://orca:8083/orchestrate", ""] {
            let error = answer(400, &[], &format!(r#"{{"status":400,"message":"{text}"}}"#));
            assert!(error.may_be_done(), "{text}: {error}");
        }
        let error = answer(400, &[], r#"{"status":400,"message":"Required parameter TAG is missing"}"#);
        assert_eq!(
            error,
            RemoteError::rejected(
                "Spinnaker rejects the request for the pipeline `cms/Deploy` (400: Required parameter TAG is missing)"
            )
        );
    }

    #[test]
    fn a_redirect_and_an_unclear_status_say_what_was_done() {
        let login = [("location", "https://idp.example.org/login?state=hunter2")];
        let error = answer(302, &login, "");
        assert!(matches!(&error, RemoteError::Unauthorized { reason } if !reason.contains("hunter2")), "{error}");
        let foreign = answer(404, &[], "default backend - 404");
        assert_eq!(
            foreign.reason(),
            "a proxy in front of Gate does not reach it (404: default backend - 404); check `url`"
        );
        assert!(foreign.is_transient() && !foreign.may_be_done());
        for (status, may_be_done) in [(401, false), (404, false), (429, false), (500, true), (503, true), (408, true)] {
            assert_eq!(answer(status, &[], "").may_be_done(), may_be_done, "{status}");
        }
    }
}
