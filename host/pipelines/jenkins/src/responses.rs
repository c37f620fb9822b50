//! The table of the error responses of Jenkins: what each says about the request.
//!
//! Invariant: each error response is classified here, once. The first matching rule of [`RULES`] applies.
//! Sources: Jenkins' `hudson/security/csrf/CrumbFilter.java` (403 without a crumb), `jenkins/model/ParameterizedJobMixIn`
//! and `hudson/model/Queue.java` (`doBuild`, `doCancelItem`: 422 without the permission, 500 for an item that has
//! left the queue), `hudson/security/AccessDeniedException3.java` (403 with the
//! permission in a header), `hudson/util/HudsonIsLoading` (503 while Jenkins starts), and RFC 9110 for a proxy.
//! Not here: the parsing of a response and the text of an error (`error`).

use wardroom_account::{
    Codes::{Any, Of},
    ResponseRule,
};

/// The kind of a request, as far as the meaning of its error response depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// Changes nothing, so it can be repeated.
    Read,
    /// Starts a build, so it must not be repeated.
    Trigger,
    /// Stops a build, or answers an input step. A repetition does no harm.
    Stop,
    /// Cancels a queue item. A repetition does no harm.
    Cancel,
}

/// The meaning of an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Meaning {
    /// The user or the secret is wrong. Nothing was done.
    Unauthorized,
    /// The request has no valid crumb. Nothing was done.
    NoCrumb,
    /// The user lacks a permission. Nothing was done.
    Forbidden,
    /// The user lacks the permission to cancel. Nothing was done.
    MayNotCancel,
    /// The object does not exist, or the user cannot see it. Nothing was done.
    Missing,
    /// A login page, or another address. Nothing was done.
    Redirect,
    /// Jenkins rejects the request. Nothing was done.
    Rejected,
    /// The rate of the requests is limited. Nothing was done.
    Limited,
    /// Jenkins or a proxy failed. The request may have been carried out.
    Failed,
    /// Jenkins or a proxy is overloaded or down. The request may have been carried out.
    Down,
}

use Meaning::{Down, Failed, Forbidden, Limited, MayNotCancel, Missing, NoCrumb, Redirect, Rejected, Unauthorized};
use Request::{Cancel, Read, Stop, Trigger};

const ALL: &[Request] = &[Read, Trigger, Stop, Cancel];

/// The code of a response whose body says that the crumb is missing or invalid.
pub(crate) const CRUMB: &str = "crumb";

const RULES: &[ResponseRule<Request, Meaning>] = &[
    ResponseRule::new(ALL, 401..=401, Any, Unauthorized),
    ResponseRule::new(ALL, 407..=407, Any, Unauthorized),
    ResponseRule::new(ALL, 403..=403, Of(&[CRUMB]), NoCrumb),
    ResponseRule::new(ALL, 403..=403, Any, Forbidden),
    ResponseRule::new(ALL, 404..=404, Any, Missing),
    ResponseRule::new(ALL, 410..=410, Any, Missing),
    ResponseRule::new(ALL, 429..=429, Any, Limited),
    ResponseRule::new(&[Cancel], 422..=422, Any, MayNotCancel),
    // A timeout of the request's body at a proxy. The request may have reached Jenkins.
    ResponseRule::new(ALL, 408..=408, Any, Down),
    ResponseRule::new(ALL, 300..=399, Any, Redirect),
    ResponseRule::new(ALL, 400..=499, Any, Rejected),
    ResponseRule::new(ALL, 502..=504, Any, Down),
    ResponseRule::new(ALL, 500..=599, Any, Failed),
];

/// Returns the meaning of an error response. `code` is [`CRUMB`] if the body says that the crumb is missing.
pub(crate) fn meaning(request: Request, status: u16, code: Option<&str>) -> Meaning {
    ResponseRule::first(RULES, request, status, code).unwrap_or(Failed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_has_one_meaning() {
        for (status, code, expected) in [
            (401, None, Unauthorized),
            (403, Some(CRUMB), NoCrumb),
            (403, None, Forbidden),
            (404, None, Missing),
            (409, None, Rejected),
            (422, None, Rejected),
            (429, None, Limited),
            (302, None, Redirect),
            (400, None, Rejected),
            (500, None, Failed),
            (503, None, Down),
            (504, None, Down),
            (999, None, Failed),
            (102, None, Failed),
        ] {
            for request in ALL {
                let expected = if (*request, status) == (Cancel, 422) { MayNotCancel } else { expected };
                assert_eq!(meaning(*request, status, code), expected, "{status}");
            }
        }
    }
}
