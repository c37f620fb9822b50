//! The checks of `wardroom check --connect`: the connection, the permissions in each namespace, and the Pipelines.
//!
//! Source: the API `authorization.k8s.io/v1`, `SelfSubjectAccessReview`, which every signed-in user may create.

use std::collections::BTreeSet;

use k8s_openapi::api::authorization::v1::{
    ResourceAttributes, SelfSubjectAccessReview, SelfSubjectAccessReviewSpec, SubjectAccessReviewStatus,
};
use serde::Deserialize;
use wardroom_remote::RemoteError;

use crate::{
    call::{ACCESS_REVIEWS, APPROVAL_TASKS, Call, Kind, PIPELINE_RUNS, PIPELINES, PODS, TASK_RUNS},
    error::missing_rule,
    gates::whoami,
    tekton::Tekton,
};

/// The permissions that each namespace needs.
static NEEDED: &[(&Kind, Option<&str>, &[&str])] = &[
    (&PIPELINES, None, &["get"]),
    (&PIPELINE_RUNS, None, &["get", "list", "create", "patch"]),
    (&TASK_RUNS, None, &["list"]),
    (&PODS, Some("log"), &["get"]),
];

/// The permissions for approvals, in a cluster that has them.
static APPROVALS: &[(&Kind, Option<&str>, &[&str])] = &[(&APPROVAL_TASKS, None, &["get", "list", "patch"])];

/// The part of a review that is read.
#[derive(Debug, Deserialize)]
struct Reviewed {
    status: Option<SubjectAccessReviewStatus>,
}

/// Runs the checks. Returns one line per passed check.
///
/// # Errors
/// One line per failed check.
pub(crate) async fn probe(tekton: &Tekton) -> Result<Vec<String>, Vec<String>> {
    let name = &tekton.settings.name;
    let failed = |error: RemoteError| vec![format!("{name}: {error}")];
    // 1. Sign in. A cluster before Kubernetes 1.28 does not say who the user is.
    let user = match whoami(&tekton.client).await {
        Ok(user) => format!("`{}`", user.username),
        Err(error) if error.is_missing() => "the host's user".to_owned(),
        Err(error) => return Err(failed(error)),
    };
    let mut passed = vec![format!("{name}: signed in as {user}")];
    let mut problems = Vec::new();
    // 2. The permissions.
    let has_approvals = match tekton.client.send(&Call::discover(&APPROVAL_TASKS)).await {
        Ok(_) => true,
        Err(failure) if failure.error.is_missing() => false,
        Err(failure) => return Err(failed(failure.error)),
    };
    let used: BTreeSet<&str> = tekton.pipelines.values().map(|pipeline| pipeline.namespace.as_str()).collect();
    for namespace in used {
        let before = problems.len();
        let needed = NEEDED.iter().chain(APPROVALS.iter().filter(|_| has_approvals));
        for (kind, subresource, verbs) in needed {
            for verb in *verbs {
                let call = Call::permission(verb, kind, *subresource, namespace);
                match allows(tekton, &call).await {
                    Ok(true) => {}
                    Ok(false) => problems.push(format!("{name}: {}", missing_rule(&user, &call))),
                    Err(error) => return Err(failed(error)),
                }
            }
        }
        if problems.len() == before {
            passed.push(format!("{name}: all permissions in the namespace `{namespace}`"));
        }
    }
    // 3. The Pipelines.
    let used: BTreeSet<(&str, &str)> =
        tekton.pipelines.values().map(|pipeline| (pipeline.namespace.as_str(), pipeline.pipeline.as_str())).collect();
    for (namespace, pipeline) in used {
        match tekton.definition(namespace, pipeline).await {
            Ok(_) => passed.push(format!("{name}: found the Pipeline `{namespace}/{pipeline}`")),
            // The missing permission is reported above.
            Err(RemoteError::Forbidden { .. }) => {}
            Err(error) => problems.push(format!("{name}: {error}")),
        }
    }
    if problems.is_empty() { Ok(passed) } else { Err(problems) }
}

/// Returns whether the host has a permission.
async fn allows(tekton: &Tekton, wanted: &Call<'_>) -> Result<bool, RemoteError> {
    let attributes = ResourceAttributes {
        group: Some(wanted.kind.group.to_owned()),
        resource: Some(wanted.kind.plural.to_owned()),
        subresource: wanted.subresource().map(str::to_owned),
        namespace: Some(wanted.namespace.to_owned()),
        verb: Some(wanted.verb.to_owned()),
        ..ResourceAttributes::default()
    };
    let spec = SelfSubjectAccessReviewSpec { resource_attributes: Some(attributes), ..Default::default() };
    let review = SelfSubjectAccessReview { spec, ..Default::default() };
    let body = serde_json::to_vec(&review).map_err(|error| RemoteError::rejected(error.to_string()))?;
    let call = Call::create(&ACCESS_REVIEWS, "", body, "permissions of the host".to_owned());
    let reviewed: Reviewed = tekton.client.json(&call).await.map_err(|failure| failure.error.before_the_request())?;
    Ok(reviewed.status.is_some_and(|status| status.allowed))
}
