//! The text and the meaning of an error response of the Kubernetes API.
//!
//! Invariant: no error contains a secret or the URL of a request. Text of a response is cleaned and shortened.
//! Not here: which status means what (`responses`).

use std::time::Duration;

use http::{HeaderMap, StatusCode, header::CONTENT_TYPE};
use serde::Deserialize;
use wardroom::base::{clean, spoken_duration};
use wardroom_account::error_chain;
use wardroom_remote::{RemoteError, excerpt, redirect, requested_delay, with_text};

use crate::{
    call::Call,
    responses::{self, Meaning, WEBHOOK},
};

/// The maximum length of a text of the cluster in an error, in characters. The text of a webhook explains a whole object.
const MAX_TEXT: usize = 400;

/// The software for people, in texts about requests.
pub(crate) const SOFTWARE: &str = "the Kubernetes API";

/// A failed request, with what its response says.
#[derive(Debug, Clone)]
pub(crate) struct Failure {
    pub(crate) error: RemoteError,
    pub(crate) meaning: Option<Meaning>,
    /// The message of the response's `Status`.
    pub(crate) message: String,
}

impl From<Failure> for RemoteError {
    fn from(failure: Failure) -> Self {
        failure.error
    }
}

impl From<RemoteError> for Failure {
    fn from(error: RemoteError) -> Self {
        Self { error, meaning: None, message: String::new() }
    }
}

impl Failure {
    pub(crate) fn is(&self, meaning: Meaning) -> bool {
        self.meaning == Some(meaning)
    }
}

/// The error object of the Kubernetes API.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Status {
    kind: String,
    message: Option<String>,
    reason: Option<String>,
}

/// Classifies an error response of the cluster or of a proxy.
pub(crate) fn classify(call: &Call<'_>, status: StatusCode, headers: &HeaderMap, body: &[u8]) -> Failure {
    // 1. Parse the `Status`.
    let parsed: Option<Status> = serde_json::from_slice(body).ok().filter(|parsed: &Status| parsed.kind == "Status");
    let message = parsed.as_ref().and_then(|parsed| parsed.message.clone()).unwrap_or_default();
    let webhook = quoted_after(&message, "failed calling webhook \"");
    let code = match &parsed {
        Some(_) if webhook.is_some() => Some(WEBHOOK),
        Some(parsed) => Some(parsed.reason.as_deref().unwrap_or_default()),
        None => (body.trim_ascii() == responses::NO_API.as_bytes()).then_some(responses::NO_API),
    };
    let number = status.as_u16();
    let said =
        if message.is_empty() { with_text(status, &excerpt(body)) } else { format!("{number}: {}", shown(&message)) };
    let what = &call.what;
    let unavailable = |may_be_done, is_outage, reason| RemoteError::Unavailable {
        may_be_done,
        is_outage,
        retry_after: requested_delay(headers),
        reason,
    };
    // 2. Find its meaning.
    let meaning = responses::meaning(number, code);
    let error = match meaning {
        Meaning::Unauthorized => RemoteError::Unauthorized {
            reason: format!(
                "the Kubernetes API does not accept the host's credentials ({number}); replace the token or the client certificate"
            ),
        },
        Meaning::Forbidden => RemoteError::Forbidden { reason: forbidden(call, &message, &said) },
        Meaning::Missing => RemoteError::Missing { reason: missing(call, &message) },
        Meaning::NoApi => RemoteError::Missing {
            reason: format!(
                "the cluster does not serve the API `{}` ({number}); install {} in it, or correct the address of the \
                 cluster",
                call.kind.api_version(),
                call.kind.software
            ),
        },
        Meaning::Taken => RemoteError::rejected(format!("{what} exists already ({number})")),
        Meaning::Conflict => {
            unavailable(false, false, format!("another client changed {what} at the same time ({number})"))
        }
        Meaning::Redirect => RemoteError::unusable(redirect(SOFTWARE, headers)),
        Meaning::Rejected => RemoteError::rejected(format!("the cluster rejects the request for {what} ({said})")),
        Meaning::Limited => {
            unavailable(false, true, format!("the Kubernetes API limits the rate of requests ({number})"))
        }
        Meaning::NoWebhook => unavailable(
            false,
            false,
            format!(
                "the admission webhook `{}` of the cluster did not answer, so that nothing was changed ({said})",
                clean(webhook.unwrap_or_default())
            ),
        ),
        Meaning::Failed => unavailable(true, false, format!("the Kubernetes API failed on {what} ({said})")),
        Meaning::Down => {
            unavailable(true, true, format!("the Kubernetes API or a proxy in front of it is unavailable ({said})"))
        }
    };
    Failure { error, meaning: Some(meaning), message }
}

/// Returns the text for a 403: the missing rule of a Role, or what else the cluster says.
fn forbidden(call: &Call<'_>, message: &str, said: &str) -> String {
    let is_rule = message.contains(&format!("cannot {}", call.verb));
    if !is_rule {
        return format!("the cluster forbids the request for {} ({said})", call.what);
    }
    let user = quoted_after(message, "User \"").map(|user| format!("`{}`", clean(user)));
    let user = user.unwrap_or_else(|| "the host's user".to_owned());
    missing_rule(&user, call)
}

/// Returns the sentence that names a missing permission and the rule that gives it. `user` is the user for people.
pub(crate) fn missing_rule(user: &str, call: &Call<'_>) -> String {
    let (group, resource, verb) = (call.kind.group, call.resource(), call.verb);
    let place = if call.namespace.is_empty() {
        ("in the cluster".to_owned(), "a ClusterRole")
    } else {
        (format!("in the namespace `{}`", call.namespace), "a Role there")
    };
    format!(
        "{user} may not {verb} `{resource}` {}; add to {}: apiGroups: [\"{group}\"], resources: [\"{resource}\"], verbs: \
         [\"{verb}\"]",
        place.0, place.1
    )
}

fn missing(call: &Call<'_>, message: &str) -> String {
    // A namespace is told by its own object: `namespaces "ci" not found`.
    if message.starts_with("namespaces ") {
        return format!("the cluster has no namespace `{}`; correct the namespace of the pipeline", call.namespace);
    }
    format!("the cluster has no {}", call.what)
}

/// Returns the error for a response with status 2xx that is not what the API returns.
pub(crate) fn not_the_api(headers: &HeaderMap, body: &[u8]) -> RemoteError {
    let kind = headers.get(CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let is_page = kind.starts_with("text/html") || excerpt(body).trim_start().starts_with('<');
    let what = if is_page { "an HTML page was returned instead of an answer" } else { "the answer is not one" };
    RemoteError::unusable(format!(
        "{what} of the Kubernetes API; a login page or a proxy answers at the address of the cluster, so correct `server` \
         in the kubeconfig"
    ))
}

/// Converts an error without a response. `server` is the address of the cluster for people.
pub(crate) fn no_response(error: &kube::Error, server: &str) -> RemoteError {
    let cause: &dyn std::error::Error = match error {
        kube::Error::Service(cause) => &**cause,
        other => other,
    };
    // A connection that was never opened has carried no request.
    let mut may_be_done = true;
    let mut next = Some(cause);
    while let Some(cause) = next {
        if cause.downcast_ref::<hyper_util::client::legacy::Error>().is_some_and(|error| error.is_connect()) {
            may_be_done = false;
        }
        next = cause.source();
    }
    if matches!(error, kube::Error::Auth(_)) {
        may_be_done = false;
    }
    let reason = format!("{SOFTWARE} at {server} cannot be reached: {}", clean(&error_chain(cause)));
    RemoteError::Unavailable { may_be_done, is_outage: true, retry_after: None, reason }
}

/// Returns the error for a request without an answer in time.
pub(crate) fn timed_out(server: &str, timeout: Duration) -> RemoteError {
    let reason = format!("{SOFTWARE} at {server} did not answer within {}", spoken_duration(timeout));
    RemoteError::Unavailable { may_be_done: true, is_outage: true, retry_after: None, reason }
}

/// Returns a text of the cluster for one line of a message.
pub(crate) fn shown(text: &str) -> String {
    let text = clean(text);
    match text.char_indices().nth(MAX_TEXT) {
        Some((end, _)) => format!("{}...", &text[..end]),
        None => text,
    }
}

/// Returns the text between `start`, which ends with a quotation mark, and the next quotation mark.
fn quoted_after<'t>(text: &'t str, start: &str) -> Option<&'t str> {
    let begin = text.find(start)? + start.len();
    text[begin..].split_once('"').map(|(quoted, _)| quoted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::call::PIPELINE_RUNS;

    fn failed(status: u16, body: &str) -> Failure {
        let call = Call::create(&PIPELINE_RUNS, "ci", Vec::new(), "PipelineRun `wardroom-a-1`".to_owned());
        classify(&call, StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn told(status: u16, reason: &str, message: &str) -> Failure {
        let body = serde_json::json!({ "kind": "Status", "reason": reason, "message": message });
        failed(status, &body.to_string())
    }

    #[test]
    fn a_missing_permission_is_told_with_its_rule() {
        let message = r#"pipelineruns.tekton.dev is forbidden: User "system:serviceaccount:ops:wardroom" cannot create resource "pipelineruns" in API group "tekton.dev" in the namespace "ci""#;
        assert_eq!(
            told(403, "Forbidden", message).error.reason(),
            "`system:serviceaccount:ops:wardroom` may not create `pipelineruns` in the namespace `ci`; add to a Role \
             there: apiGroups: [\"tekton.dev\"], resources: [\"pipelineruns\"], verbs: [\"create\"]"
        );
        let quota =
            r#"pipelineruns.tekton.dev "x" is forbidden: exceeded quota: runs, requested: 1, used: 5, limited: 5"#;
        let error = told(403, "Forbidden", quota).error;
        assert!(error.reason().starts_with("the cluster forbids the request for PipelineRun"), "{error}");
        assert!(error.reason().contains("exceeded quota"), "{error}");
    }

    #[test]
    fn a_webhook_that_does_not_answer_changes_nothing() {
        let message = r#"Internal error occurred: failed calling webhook "validation.webhook.pipeline.tekton.dev": failed to call webhook: Post "https://tekton-pipelines-webhook.tekton-pipelines.svc:443/?timeout=10s": context deadline exceeded"#;
        let failure = told(500, "InternalError", message);
        assert!(!failure.error.may_be_done() && failure.error.is_transient(), "{failure:?}");
        assert!(failure.error.reason().starts_with(
            "the admission webhook `validation.webhook.pipeline.tekton.dev` of the cluster did not answer"
        ));
        assert!(told(500, "InternalError", "etcdserver: request timed out").error.may_be_done());
    }

    #[test]
    fn a_missing_namespace_and_a_missing_api_differ() {
        let namespace = told(404, "NotFound", "namespaces \"ci\" not found").error;
        assert_eq!(namespace.reason(), "the cluster has no namespace `ci`; correct the namespace of the pipeline");
        let api = failed(404, "404 page not found\n");
        assert_eq!(
            api.error.reason(),
            "the cluster does not serve the API `tekton.dev/v1` (404); install Tekton Pipelines in it, or correct the \
             address of the cluster"
        );
        assert!(api.error.is_missing() && namespace.is_missing());
    }

    #[test]
    fn long_and_hostile_text_is_shortened() {
        let text = format!("admission webhook denied\u{202e} the request: {}", "x".repeat(5000));
        let error = told(400, "BadRequest", &text).error;
        assert!(error.reason().len() < 600 && !error.reason().contains('\u{202e}'), "{error}");
    }
}
