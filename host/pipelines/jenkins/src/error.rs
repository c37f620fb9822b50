//! The meaning of an error response of Jenkins as an error for people.

use reqwest::{StatusCode, header::HeaderMap};
use wardroom_remote::{RemoteError, excerpt, redirect, requested_delay, shorten, with_text};

use crate::responses::{self, CRUMB, Meaning, Request};

/// Classifies an error response of Jenkins or of a proxy by the table in `responses`. `what` is the object of the
/// request for people, for example "the job `web/cms`"; `user` is the Jenkins user.
pub(crate) fn classify(
    request: Request,
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
    what: &str,
    user: &str,
) -> RemoteError {
    let excerpt = excerpt(body);
    let code = excerpt.contains("No valid crumb").then_some(CRUMB);
    let number = status.as_u16();
    let unavailable = |may_be_done, is_outage, reason| RemoteError::Unavailable {
        may_be_done,
        is_outage,
        retry_after: requested_delay(headers),
        reason,
    };
    match responses::meaning(request, number, code) {
        Meaning::Unauthorized => RemoteError::Unauthorized {
            reason: format!(
                "Jenkins does not accept the credentials of the user `{user}` ({number}); put a valid API token of this \
                 user into the secret"
            ),
        },
        Meaning::NoCrumb => {
            RemoteError::StaleToken { reason: "Jenkins did not accept the crumb of the request (403)".to_owned() }
        }
        Meaning::Forbidden => RemoteError::Forbidden { reason: forbidden(headers, &excerpt, what, user) },
        Meaning::MayNotCancel => RemoteError::Forbidden {
            reason: format!(
                "the Jenkins user `{user}` lacks the permission Job/Cancel for {what}; grant it in Jenkins"
            ),
        },
        Meaning::Missing => RemoteError::Missing {
            reason: format!(
                "Jenkins has no {what} that the user `{user}` can see; check the name, and give the user the permission \
                 Job/Read"
            ),
        },
        // A redirect of a trigger to a page of Jenkins means that no item was queued; the search decides.
        Meaning::Redirect => RemoteError::unusable(redirect("Jenkins", headers)),
        Meaning::Rejected => {
            RemoteError::rejected(format!("Jenkins rejects the request for {what} ({})", with_text(status, &excerpt)))
        }
        Meaning::Limited => {
            unavailable(false, true, "Jenkins or a proxy in front of it limits the rate of requests (429)".to_owned())
        }
        Meaning::Failed => {
            unavailable(true, false, format!("Jenkins failed on {what} ({})", with_text(status, &excerpt)))
        }
        Meaning::Down => unavailable(
            true,
            true,
            format!("Jenkins or a proxy in front of it is unavailable ({})", with_text(status, &excerpt)),
        ),
    }
}

/// Returns the text for a 403. Jenkins names the missing permission in a header.
fn forbidden(headers: &HeaderMap, excerpt: &str, what: &str, user: &str) -> String {
    let permission = headers.get("x-required-permission").and_then(|value| value.to_str().ok());
    match permission.map(shorten) {
        Some(permission) => {
            // `hudson.model.Item.Build` is shown in Jenkins as Job/Build.
            let name = permission.rsplit('.').next().unwrap_or_default();
            format!(
                "the Jenkins user `{user}` lacks the permission {name} (`{permission}`) for {what}; grant it in Jenkins"
            )
        }
        None => format!(
            "Jenkins forbids the user `{user}` the request for {what} ({})",
            with_text(StatusCode::FORBIDDEN, excerpt)
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, headers: &[(&'static str, &'static str)], body: &str) -> RemoteError {
        let headers = headers.iter().map(|(name, value)| (name.parse().unwrap(), value.parse().unwrap())).collect();
        let status = StatusCode::from_u16(status).unwrap();
        classify(Request::Trigger, status, &headers, body.as_bytes(), "the job `cms`", "bot")
    }

    #[test]
    fn a_missing_permission_is_named() {
        let error = answer(403, &[("X-Required-Permission", "hudson.model.Item.Build")], "<html>");
        assert_eq!(
            error.reason(),
            "the Jenkins user `bot` lacks the permission Build (`hudson.model.Item.Build`) for the job `cms`; grant it in \
             Jenkins"
        );
        let error = answer(403, &[], "No valid crumb was included in the request");
        assert!(matches!(error, RemoteError::StaleToken { .. }));
    }

    #[test]
    fn only_failures_of_a_server_may_have_started_a_build() {
        for (status, may_be_done) in
            [(400, false), (401, false), (403, false), (404, false), (409, false), (429, false)].into_iter().chain([
                (500, true),
                (502, true),
                (503, true),
                (504, true),
                (408, true),
                (302, true),
            ])
        {
            assert_eq!(answer(status, &[], "").may_be_done(), may_be_done, "{status}");
        }
    }
}
