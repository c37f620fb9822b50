//! The table of the error responses of the Kubernetes API: what each says about the request.
//!
//! Invariant: each error response is classified here, once. The first matching rule of [`RULES`] applies.
//! Sources: `metav1.Status` and its reasons in apimachinery's `pkg/api/errors` and `pkg/apis/meta/v1/types.go`; the
//! statuses were measured on an API server 1.36; RFC 9110 for a proxy.
//! Not here: the parsing of a response and the text of an error (`error`).

use wardroom_account::{
    Codes::{Any, Missing as NoStatus, Of},
    ResponseRule,
};

/// The requests of the table. The meaning of a response is the same for each of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct AnyRequest;

/// The meaning of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The credentials are not accepted. Nothing was done.
    Unauthorized,
    /// The user lacks a permission, or a quota is used up. Nothing was done.
    Forbidden,
    /// The object or its namespace does not exist. Nothing was done.
    Missing,
    /// The API group or its version is not installed. Nothing was done.
    NoApi,
    /// An object with this name exists. Nothing was done.
    Taken,
    /// Another client changed the object at the same time. Nothing was done.
    Conflict,
    /// A login page, or another address.
    Redirect,
    /// The cluster rejects the request. Nothing was done.
    Rejected,
    /// The rate of the requests is limited. Nothing was done.
    Limited,
    /// An admission webhook did not answer. Nothing was done.
    NoWebhook,
    /// The API server or a proxy failed. The request may have been carried out.
    Failed,
    /// The API server or a proxy is overloaded or down. The request may have been carried out.
    Down,
}

use Meaning::{
    Conflict, Down, Failed, Forbidden, Limited, Missing, NoApi, NoWebhook, Redirect, Rejected, Taken, Unauthorized,
};

const ALL: &[AnyRequest] = &[AnyRequest];

/// The code of a response which says that an admission webhook could not be called.
pub(crate) const WEBHOOK: &str = "webhook";
/// The response to a request for a group that is not installed, a plain text.
pub(crate) const NO_API: &str = "404 page not found";

const RULES: &[ResponseRule<AnyRequest, Meaning>] = &[
    ResponseRule::new(ALL, 401..=401, Any, Unauthorized),
    ResponseRule::new(ALL, 407..=407, Any, Unauthorized),
    ResponseRule::new(ALL, 403..=403, Any, Forbidden),
    ResponseRule::new(ALL, 404..=404, Of(&[NO_API]), NoApi),
    // A proxy answers so while it does not reach the API server. The PipelineRuns still exist.
    ResponseRule::new(ALL, 404..=404, NoStatus, Down),
    ResponseRule::new(ALL, 404..=404, Any, Missing),
    ResponseRule::new(ALL, 409..=409, Of(&["AlreadyExists"]), Taken),
    ResponseRule::new(ALL, 409..=409, Any, Conflict),
    ResponseRule::new(ALL, 429..=429, Any, Limited),
    // A timeout of the request's body at a proxy. The request may have reached the API server.
    ResponseRule::new(ALL, 408..=408, Any, Down),
    ResponseRule::new(ALL, 300..=399, Any, Redirect),
    ResponseRule::new(ALL, 400..=499, Any, Rejected),
    ResponseRule::new(ALL, 500..=500, Of(&[WEBHOOK]), NoWebhook),
    ResponseRule::new(ALL, 502..=504, Any, Down),
    ResponseRule::new(ALL, 500..=599, Any, Failed),
];

/// Returns the meaning of an error response. `code` is the `reason` of its `Status`, [`WEBHOOK`], [`NO_API`], or
/// `None` for another response that is no `Status`.
pub(crate) fn meaning(status: u16, code: Option<&str>) -> Meaning {
    ResponseRule::first(RULES, AnyRequest, status, code).unwrap_or(Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_has_one_meaning() {
        for (status, code, expected) in [
            (401, Some("Unauthorized"), Unauthorized),
            (403, Some("Forbidden"), Forbidden),
            (404, Some("NotFound"), Missing),
            (404, Some(NO_API), NoApi),
            (404, None, Down),
            (409, Some("AlreadyExists"), Taken),
            (409, Some("Conflict"), Conflict),
            (415, Some("UnsupportedMediaType"), Rejected),
            (422, Some("Invalid"), Rejected),
            (400, Some("BadRequest"), Rejected),
            (429, Some("TooManyRequests"), Limited),
            (302, None, Redirect),
            (500, Some(WEBHOOK), NoWebhook),
            (500, Some("InternalError"), Failed),
            (503, Some("ServiceUnavailable"), Down),
            (504, Some("Timeout"), Down),
            (502, None, Down),
            (999, None, Failed),
        ] {
            assert_eq!(meaning(status, code), expected, "{status}");
        }
    }
}
