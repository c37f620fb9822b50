//! The table of the error responses of Gate: what each says about the request.
//!
//! Invariant: each error response is classified here, once. The first matching rule of [`RULES`] applies.
//! Sources: kork's `GenericExceptionHandlers.java` (400, 403, 404 and the status of an error of another service), Gate's
//! `PipelineController.groovy` (`invokePipelineConfig` answers every error of Orca with 400, also a timeout),
//! `AuthConfig.java` and `BasicAuthConfig.java` (a redirect to the login for a wrong secret), and RFC 9110 for a proxy.
//! Not here: the text of an error (`error`).

use wardroom_account::{
    Codes::{Any, Of},
    ResponseRule,
};

/// The kind of a request, as far as the meaning of its error response depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Changes nothing, so it can be repeated.
    Read,
    /// Starts an execution, so it must not be repeated.
    Trigger,
    /// Cancels an execution or answers a judgement. A repetition does no harm.
    Change,
}

/// The meaning of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// Gate does not accept the certificate or the secret. Nothing was done.
    Unauthorized,
    /// A login page, or another address. Nothing was done.
    Redirect,
    /// The account lacks a permission. Nothing was done.
    Forbidden,
    /// The object does not exist. Nothing was done.
    Missing,
    /// Gate rejects the request. Nothing was done.
    Rejected,
    /// The rate of the requests is limited. Nothing was done.
    Limited,
    /// A proxy has no Gate to which it could pass the request. Nothing was done.
    Unreached,
    /// Gate or a service behind it failed. The request may have been carried out.
    Failed,
    /// Gate or a proxy is overloaded or down. The request may have been carried out.
    Down,
}

use Meaning::{Down, Failed, Forbidden, Limited, Missing, Redirect, Rejected, Unauthorized, Unreached};
use Request::{Change, Read, Trigger};

const ALL: &[Request] = &[Read, Trigger, Change];

/// The code of a response to a trigger whose text does not say that the trigger was refused.
pub(crate) const UNCLEAR: &str = "unclear";

/// The code of a response without the JSON that the services of Spinnaker write for each error.
pub(crate) const FOREIGN: &str = "foreign";

const RULES: &[ResponseRule<Request, Meaning>] = &[
    ResponseRule::new(ALL, 401..=401, Any, Unauthorized),
    ResponseRule::new(ALL, 407..=407, Any, Unauthorized),
    ResponseRule::new(ALL, 403..=403, Any, Forbidden),
    // A proxy answers so while Gate starts. The executions still exist.
    ResponseRule::new(ALL, 404..=404, Of(&[FOREIGN]), Unreached),
    ResponseRule::new(ALL, 404..=404, Any, Missing),
    ResponseRule::new(ALL, 410..=410, Any, Missing),
    ResponseRule::new(ALL, 429..=429, Any, Limited),
    // A timeout of the request's body at a proxy. The request may have reached Gate.
    ResponseRule::new(ALL, 408..=408, Any, Down),
    ResponseRule::new(ALL, 300..=399, Any, Redirect),
    ResponseRule::new(&[Trigger], 400..=400, Of(&[UNCLEAR]), Failed),
    ResponseRule::new(&[Trigger], 422..=422, Of(&[UNCLEAR]), Failed),
    ResponseRule::new(ALL, 400..=499, Any, Rejected),
    ResponseRule::new(ALL, 502..=504, Any, Down),
    ResponseRule::new(ALL, 500..=599, Any, Failed),
];

/// Returns the meaning of an error response. `code` is [`UNCLEAR`], [`FOREIGN`] or `None`.
pub(crate) fn meaning(request: Request, status: u16, code: Option<&str>) -> Meaning {
    ResponseRule::first(RULES, request, status, code).unwrap_or(Failed)
}

/// Returns whether the text of an answer to a trigger says that nothing was started. Gate gives the text of an exception:
/// its own for a missing parameter, or that of the HTTP client, `Status: 403, URL: …` or in older versions `403 Forbidden`,
/// or `timeout`. Newer versions put `Unable to trigger pipeline (application: x, …). Error: ` in front of it.
pub(crate) fn is_refusal(text: &str) -> bool {
    let text = match text.split_once("). Error: ") {
        Some((prefix, rest)) if prefix.starts_with("Unable to trigger pipeline (") => rest,
        _ => text,
    };
    let digits = text.strip_prefix("Status: ").unwrap_or(text);
    let status = digits.get(..3).filter(|_| !digits[3..].starts_with(|next: char| next.is_alphanumeric()));
    let status: Option<u16> = status.and_then(|status| status.parse().ok());
    match status {
        Some(408 | 429) => false,
        Some(400..=499) => true,
        Some(_) => false,
        None => text.starts_with("Required parameter ") || text.starts_with("Pipeline configuration not found"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_has_one_meaning() {
        for (status, code, expected) in [
            (401, None, Unauthorized),
            (403, None, Forbidden),
            (404, None, Missing),
            (409, None, Rejected),
            (429, None, Limited),
            (302, None, Redirect),
            (400, None, Rejected),
            (422, None, Rejected),
            (500, None, Failed),
            (503, None, Down),
            (504, None, Down),
            (408, None, Down),
            (999, None, Failed),
        ] {
            for request in ALL {
                assert_eq!(meaning(*request, status, code), expected, "{status}");
            }
        }
        assert_eq!(meaning(Read, 404, Some(FOREIGN)), Unreached);
        assert_eq!(meaning(Trigger, 400, Some(FOREIGN)), Rejected);
        assert_eq!(meaning(Trigger, 400, Some(UNCLEAR)), Failed);
        assert_eq!(meaning(Trigger, 422, Some(UNCLEAR)), Failed);
        assert_eq!(meaning(Change, 400, Some(UNCLEAR)), Rejected);
    }

    #[test]
    fn only_a_clear_text_refuses_a_trigger() {
        for text in [
            "Required parameter TAG is missing",
            "Pipeline configuration not found (id: x)",
            "Status: 400, URL: http://orca:8083/orchestrate, Message: Pipeline is disabled and cannot be started.",
            "403 Forbidden",
            "400 ",
            "Unable to trigger pipeline (application: cms, pipelineId: p-1). Error: Status: 400, URL: http://orca:8083/orchestrate",
        ] {
            assert!(is_refusal(text), "{text}");
        }
        for text in [
            "",
            "timeout",
            "retrofit.RetrofitError: timeout",
            "500 ",
            "Status: 500, URL: http://orca:8083/orchestrate, Message: x",
            "Status: 429, URL: http://orca:8083/orchestrate",
            "4000 executions",
            "Unable to trigger pipeline (application: cms, pipelineId: p-1). Error: Status: 500, URL: http://orca:8083/x",
            "Unable to trigger pipeline (application: 400, pipelineId: p-1)",
            "ü4",
        ] {
            assert!(!is_refusal(text), "{text}");
        }
    }
}
