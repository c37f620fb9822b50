//! The table of the homeserver's error responses: how the account reacts to each.
//!
//! Invariant: each error response is classified here, once. The first matching rule of [`RULES`] applies.
//! Sources: the sections "Standard error response", "Rate limiting", "Account locking", "Account suspension" and
//! "Content repository" of the Client-Server API (v1.18), Synapse's `api/errors.py`, and nginx's `client_max_body_size`
//! (a 413 without an `errcode`).
//! Not here: errors without a response (`error`), and the question whether a room's power levels cause a rejection
//! (`power_levels`).

use wardroom_account::{
    Codes::{Any, Missing, Of},
    ResponseRule,
};

/// The kind of a request, as far as the reaction to its error depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Request {
    /// A message, an edit or a reaction.
    Event,
    /// The upload of a file.
    Upload,
    /// Any other request.
    Other,
}

/// The reaction to an error response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reaction {
    /// Send the request again later.
    Retry,
    /// The session ended; log in again, and then send the request again.
    EndSession,
    /// The account has no permission in the room. A message waits for the permission.
    AwaitPermission,
    /// The account may send to no room, for example because it is suspended. A message waits until it may.
    AwaitAccount,
    /// Send a shorter message instead.
    Shorten,
    /// Never send the request again. A file is replaced by an excerpt of its text.
    Reject,
}

use Reaction::{AwaitAccount, AwaitPermission, EndSession, Reject, Retry, Shorten};
use Request::{Event, Other, Upload};

const ALL: &[Request] = &[Event, Upload, Other];

const RULES: &[ResponseRule<Request, Reaction>] = &[
    // The session.
    ResponseRule::new(ALL, 0..=599, Of(&["M_UNKNOWN_TOKEN", "M_MISSING_TOKEN"]), EndSession),
    // Limits of the rate; of the number of users, which an administrator raises; and of a locked account.
    ResponseRule::new(ALL, 0..=599, Of(&["M_LIMIT_EXCEEDED"]), Retry),
    ResponseRule::new(ALL, 408..=408, Any, Retry),
    ResponseRule::new(ALL, 425..=425, Any, Retry),
    ResponseRule::new(ALL, 429..=429, Any, Retry),
    ResponseRule::new(&[Event, Other], 0..=599, Of(&["M_RESOURCE_LIMIT_EXCEEDED"]), Retry),
    ResponseRule::new(&[Event, Upload], 401..=401, Of(&["M_USER_LOCKED"]), Retry),
    // A file that the homeserver does not accept: too large, over a quota, of a forbidden type, or uploads are off (404
    // or 501 `M_UNRECOGNIZED`). A proxy rejects a large body without an error code.
    ResponseRule::new(&[Upload], 413..=413, Any, Reject),
    ResponseRule::new(&[Upload], 501..=501, Any, Reject),
    ResponseRule::new(&[Upload], 507..=507, Any, Reject),
    // A message that is too large for an event, for the homeserver or for a proxy.
    ResponseRule::new(&[Event], 413..=413, Any, Shorten),
    ResponseRule::new(&[Event], 400..=499, Of(&["M_TOO_LARGE"]), Shorten),
    // A message without a permission: a power level or a ban; an account that is suspended or must accept new terms.
    ResponseRule::new(&[Event], 403..=403, Of(&["M_FORBIDDEN"]), AwaitPermission),
    ResponseRule::new(
        &[Event],
        403..=403,
        Of(&["M_USER_SUSPENDED", "M_CONSENT_NOT_GIVEN", "M_GUEST_ACCESS_FORBIDDEN"]),
        AwaitAccount,
    ),
    // Outages of the homeserver, and whatever a proxy answers in its place.
    ResponseRule::new(ALL, 0..=599, Missing, Retry),
    ResponseRule::new(&[Event, Upload], 501..=501, Any, Reject),
    ResponseRule::new(ALL, 500..=599, Any, Retry),
    // Any other error of the homeserver.
    ResponseRule::new(ALL, 0..=999, Any, Reject),
];

/// Returns the reaction to an error response. `code` is the response's `errcode`, if it has one.
pub(crate) fn reaction(request: Request, status: u16, code: Option<&str>) -> Reaction {
    ResponseRule::first(RULES, request, status, code).unwrap_or(Reject)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_response_has_one_reaction() {
        for (status, code, event, upload, other) in [
            (401, "M_UNKNOWN_TOKEN", EndSession, EndSession, EndSession),
            (401, "M_USER_LOCKED", Retry, Retry, Reject),
            (403, "M_FORBIDDEN", AwaitPermission, Reject, Reject),
            (403, "M_USER_SUSPENDED", AwaitAccount, Reject, Reject),
            (403, "M_RESOURCE_LIMIT_EXCEEDED", Retry, Reject, Retry),
            (403, "M_USER_LIMIT_EXCEEDED", Reject, Reject, Reject),
            (404, "M_UNRECOGNIZED", Reject, Reject, Reject),
            (400, "M_BAD_JSON", Reject, Reject, Reject),
            (413, "M_TOO_LARGE", Shorten, Reject, Reject),
            (429, "M_LIMIT_EXCEEDED", Retry, Retry, Retry),
            (500, "M_UNKNOWN", Retry, Retry, Retry),
            (501, "M_UNRECOGNIZED", Reject, Reject, Retry),
            (507, "M_UNKNOWN", Retry, Reject, Retry),
        ] {
            let reactions = [Event, Upload, Other].map(|request| reaction(request, status, Some(code)));
            assert_eq!(reactions, [event, upload, other], "{status} {code}");
        }
        // The responses of a proxy.
        for (status, event, upload) in [
            (401, Retry, Retry),
            (403, Retry, Retry),
            (404, Retry, Retry),
            (408, Retry, Retry),
            (413, Shorten, Reject),
            (429, Retry, Retry),
            (501, Retry, Reject),
            (502, Retry, Retry),
        ] {
            assert_eq!([Event, Upload].map(|request| reaction(request, status, None)), [event, upload], "{status}");
        }
    }
}
