//! The approvals of the Manual Approval Gate as gates of a run.
//!
//! Source: its `pkg/reconciler/webhook/webhook.go`: a user may change only the own input, a group needs the user in its
//! list `users`, and a decided ApprovalTask cannot be changed.

use serde_json::{Map, Value, json};
use wardroom::{
    adapter::{Gate, GateAnswer},
    base::clean,
};
use wardroom_remote::{Open, RemoteError};

use crate::{
    call::{APPROVAL_TASKS, Call, USER_REVIEWS},
    client::Client,
    error::shown,
    responses::Meaning,
    tekton::Tekton,
    types::{ApprovalTask, PIPELINE_RUN_LABEL, PIPELINE_TASK_LABEL, UserInfo, UserReview},
};

/// How often an answer is sent, because other approvers answer at the same time.
const ATTEMPTS: usize = 3;

/// Returns the gate of an ApprovalTask that waits.
pub(crate) fn gate(task: &ApprovalTask) -> Option<Gate> {
    if !matches!(task.status.state.as_str(), "" | "pending") {
        return None;
    }
    let name = match task.metadata.label(PIPELINE_TASK_LABEL) {
        "" => &task.metadata.name,
        name => name,
    };
    let mut message = format!("approval `{}`", clean(name));
    if !task.spec.description.is_empty() {
        message.push_str(&format!(": {}", shown(&task.spec.description)));
    }
    if task.spec.number_of_approvals_required > 1 {
        let given = task.spec.approvers.iter().filter(|approver| approver["input"] == "approve").count();
        message.push_str(&format!(" ({given} of {} approvals)", task.spec.number_of_approvals_required));
    }
    Some(Gate { id: task.metadata.name.clone(), message, choices: Vec::new() })
}

/// Answers an ApprovalTask as the host's user.
pub(crate) async fn answer(
    client: &Client,
    open: &Open<Tekton>,
    gate: &str,
    answer: &GateAnswer,
) -> Result<(), RemoteError> {
    let namespace = open.run.namespace.as_str();
    let what = || format!("ApprovalTask `{}` in the namespace `{namespace}`", clean(gate));
    let user = whoami(client).await?;
    let mut attempt = 0;
    loop {
        let task: ApprovalTask = client.json(&Call::get(&APPROVAL_TASKS, namespace, gate, what())).await?;
        if task.metadata.label(PIPELINE_RUN_LABEL) != open.run.name {
            return Err(RemoteError::rejected(format!("the {} does not belong to this run", what())));
        }
        let approvers = with_input(&task.spec.approvers, &user, answer).ok_or_else(|| {
            RemoteError::rejected(format!(
                "`{}` is not an approver of the {}; add it to the parameter `approvers` of the task in the Pipeline",
                clean(&user.username),
                what()
            ))
        })?;
        // With the version, the answer of another approver is not overwritten.
        let patch = json!({
            "metadata": { "resourceVersion": task.metadata.resource_version },
            "spec": { "approvers": approvers },
        });
        match client.send(&Call::patch(&APPROVAL_TASKS, namespace, gate, &patch, what())).await {
            Ok(_) => return Ok(()),
            Err(failure) if failure.is(Meaning::Conflict) && attempt + 1 < ATTEMPTS => attempt += 1,
            Err(failure) => return Err(failure.error),
        }
    }
}

/// Returns who the host is for the cluster.
pub(crate) async fn whoami(client: &Client) -> Result<UserInfo, RemoteError> {
    let body = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview" });
    let call = Call::create(&USER_REVIEWS, "", body.to_string().into_bytes(), "user of the host".to_owned());
    let review: UserReview = client.json(&call).await.map_err(|failure| failure.error.before_the_request())?;
    Ok(review.status.user_info)
}

/// Returns the approvers with the input of a user; `None` if the user is no approver.
fn with_input(approvers: &[Value], user: &UserInfo, answer: &GateAnswer) -> Option<Vec<Value>> {
    let input = if answer.proceeds { "approve" } else { "reject" };
    let message =
        format!("{} by {} through Wardroom", if answer.proceeds { "approved" } else { "rejected" }, answer.person);
    let mut approvers = approvers.to_vec();
    let is_group = |approver: &Value| approver["type"] == "Group";
    let is_user = |approver: &Value| !is_group(approver) && approver["name"] == user.username.as_str();
    let has_user = |approver: &Value| {
        let is_member = user.groups.iter().any(|group| approver["name"] == group.as_str());
        let users = approver["users"].as_array().map_or(&[][..], Vec::as_slice);
        is_group(approver) && (is_member || users.iter().any(|listed| listed["name"] == user.username.as_str()))
    };
    let at = approvers.iter().position(is_user).or_else(|| approvers.iter().position(has_user))?;
    let approver: &mut Map<String, Value> = approvers[at].as_object_mut()?;
    let in_group = approver.get("type").is_some_and(|kind| kind == "Group");
    approver.insert("input".to_owned(), json!(input));
    approver.insert("message".to_owned(), json!(message));
    if in_group {
        let users = approver.entry("users").or_insert_with(|| json!([]));
        let own = json!({ "name": user.username, "input": input });
        match users.as_array_mut() {
            Some(users) => {
                users.retain(|listed| listed["name"] != user.username.as_str());
                users.push(own);
            }
            None => *users = json!([own]),
        }
    }
    Some(approvers)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn user() -> UserInfo {
        UserInfo { username: "bot".to_owned(), groups: vec!["robots".to_owned()] }
    }

    fn answered(approvers: Value, proceeds: bool) -> Option<Value> {
        let answer = GateAnswer { proceeds, choice: None, person: "@bob:example.org".to_owned() };
        with_input(approvers.as_array().unwrap(), &user(), &answer).map(Value::Array)
    }

    #[test]
    fn only_the_own_input_changes() {
        let approvers = json!([
            { "name": "ann", "type": "User", "input": "approve" },
            { "name": "bot", "type": "User", "input": "pending", "extra": 1 },
        ]);
        let expected = json!([
            { "name": "ann", "type": "User", "input": "approve" },
            { "name": "bot", "type": "User", "input": "reject", "extra": 1,
                "message": "rejected by @bob:example.org through Wardroom" },
        ]);
        assert_eq!(answered(approvers, false).unwrap(), expected);
        assert_eq!(answered(json!([{ "name": "ann", "type": "User", "input": "pending" }]), true), None);
    }

    #[test]
    fn a_member_of_a_group_is_added_to_its_users() {
        let found = answered(json!([{ "name": "robots", "type": "Group", "input": "pending" }]), true).unwrap();
        assert_eq!(found[0]["users"], json!([{ "name": "bot", "input": "approve" }]));
        assert_eq!(found[0]["input"], "approve");
        let listed =
            json!([{ "name": "ops", "type": "Group", "input": "pending", "users": [{ "name": "bot", "input": "x" }] }]);
        assert_eq!(answered(listed, true).unwrap()[0]["users"], json!([{ "name": "bot", "input": "approve" }]));
    }

    #[test]
    fn only_an_approval_that_waits_is_a_gate() {
        let task = |state: &str| -> ApprovalTask {
            serde_json::from_value(json!({
                "metadata": { "name": "run-wait", "labels": { "tekton.dev/pipelineTask": "wait" } },
                "spec": { "description": "Deploy?", "numberOfApprovalsRequired": 2,
                    "approvers": [{ "name": "a", "input": "approve" }, { "name": "b", "input": "pending" }] },
                "status": { "state": state },
            }))
            .unwrap()
        };
        let found = gate(&task("pending")).unwrap();
        assert_eq!(
            (found.id.as_str(), found.message.as_str()),
            ("run-wait", "approval `wait`: Deploy? (1 of 2 approvals)")
        );
        assert_eq!((gate(&task("approved")), gate(&task("rejected"))), (None, None));
    }
}
