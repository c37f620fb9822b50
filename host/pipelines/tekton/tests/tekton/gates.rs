//! Tests of the approvals of the Manual Approval Gate.

use serde_json::json;
use wardroom::{adapter::GateAnswer, model::Outcome};

use crate::harness::{PIPELINE, RUN, TestHost, USER, eventually, follow, line_with, refusal, start, wait, within};

fn answer(proceeds: bool) -> GateAnswer {
    GateAnswer { proceeds, choice: None, person: "@bob:example.org".to_owned() }
}

#[tokio::test]
async fn an_approval_is_answered_as_the_user_of_the_host() {
    for (proceeds, input, verb, state) in
        [(true, "approve", "approved", "approved"), (false, "reject", "rejected", "rejected")]
    {
        let host = TestHost::new().await;
        host.server.install("openshift-pipelines.org");
        let pipelines = host.pipelines();
        start(&pipelines, "a-1").await.unwrap();
        host.server.approval(RUN, "wait", &["ann", USER], 1, "");
        let gate = pipelines.view(PIPELINE, "a-1").await.unwrap().progress.gates[0].id.clone();
        pipelines.answer(PIPELINE, "a-1", &gate, &answer(proceeds)).await.unwrap();
        let task = host.server.approval_of(RUN, "wait");
        assert_eq!(task["status"]["state"], state);
        let message = format!("{verb} by @bob:example.org through Wardroom");
        let expected = json!([
            { "name": "ann", "type": "User", "input": "pending" },
            { "name": USER, "type": "User", "input": input, "message": message },
        ]);
        assert_eq!(task["spec"]["approvers"], expected);
        // A second answer comes too late.
        assert_eq!(
            refusal(pipelines.answer(PIPELINE, "a-1", &gate, &answer(true)).await),
            "the cluster rejects the request for ApprovalTask `wardroom-a-1-wait` in the namespace `ci` (400: admission \
             webhook \"validation.webhook.manual-approval.openshift-pipelines.org\" denied the request: ApprovalTask has \
             already reached its final state)"
        );
    }
}

#[tokio::test]
async fn answers_that_arrive_at_the_same_time_are_all_counted() {
    let host = TestHost::new().await;
    host.server.install("openshift-pipelines.org");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.approval(RUN, "wait", &["ann", USER], 2, "");
    // Ann answers between the host's look and its answer.
    host.server.faults(|faults| faults.rival_votes = 2);
    pipelines.answer(PIPELINE, "a-1", "wardroom-a-1-wait", &answer(true)).await.unwrap();
    let inputs = |task: serde_json::Value| [0, 1].map(|at| task["spec"]["approvers"][at]["input"].clone());
    assert_eq!(inputs(host.server.approval_of(RUN, "wait")), [json!("approve"), json!("approve")]);
    assert_eq!(host.server.count("PATCH", "/approvaltasks/"), 3);
}

#[tokio::test]
async fn an_answer_that_the_host_cannot_give_is_refused() {
    let host = TestHost::new().await;
    host.server.install("openshift-pipelines.org");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.approval(RUN, "wait", &["ann"], 1, "");
    assert_eq!(
        refusal(pipelines.answer(PIPELINE, "a-1", "wardroom-a-1-wait", &answer(true)).await),
        "`system:serviceaccount:ops:wardroom` is not an approver of the ApprovalTask `wardroom-a-1-wait` in the namespace \
         `ci`; add it to the parameter `approvers` of the task in the Pipeline"
    );
    start(&pipelines, "a-2").await.unwrap();
    host.server.approval("wardroom-a-2", "wait", &[USER], 1, "");
    assert_eq!(
        refusal(pipelines.answer(PIPELINE, "a-1", "wardroom-a-2-wait", &answer(true)).await),
        "the ApprovalTask `wardroom-a-2-wait` in the namespace `ci` does not belong to this run"
    );
    assert_eq!(
        refusal(pipelines.answer(PIPELINE, "a-1", "../x", &answer(true)).await),
        "ApprovalTask `../x` in the namespace `ci` has a name that Kubernetes does not allow"
    );
    assert_eq!(host.server.count("PATCH", "/approvaltasks/"), 0);
}

#[tokio::test]
async fn an_approval_that_waits_is_a_gate() {
    let host = TestHost::new().await;
    host.server.install("openshift-pipelines.org");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.approval(RUN, "wait", &["ann", "bob"], 2, "Roll out to production?");
    let (end, mut lines) = follow(&pipelines, "a-1");
    let line = line_with(&mut lines, "Gate {").await;
    assert!(
        line.contains(
            r#"Gate { id: "wardroom-a-1-wait", message: "approval `wait`: Roll out to production? (0 of 2 approvals)", choices: [] }"#
        ),
        "{line}"
    );
    assert!(line.contains(r#"Stage { name: "wait", state: Paused }"#), "{line}");
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_rejected_approval_is_the_reason_of_a_failure() {
    let host = TestHost::new().await;
    host.server.install("openshift-pipelines.org");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.approval(RUN, "wait", &["ann"], 1, "");
    host.server.reject(RUN, "wait");
    host.server.end(RUN, "False", "Failed", "Tasks Completed: 1 (Failed: 1, Cancelled 0), Skipped: 1");
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.message, "the approval `wait` was rejected");
}

#[tokio::test]
async fn a_cluster_without_approvals_is_asked_once_and_only_for_custom_tasks() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "PipelineRun").await;
    assert_eq!(host.server.count("GET", "/approvaltasks"), 0);
    host.server.approval(RUN, "wait", &["ann"], 1, "");
    line_with(&mut lines, r#""wait", state: Running"#).await;
    host.server.clear_requests();
    eventually("the run is polled", || host.server.count("GET", "/pipelineruns?") > 3).await;
    assert_eq!(host.server.count("GET", "/approvaltasks"), 0);
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}
