//! Tests of the credentials.

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{RUN, Settings, TOKEN, TestHost, USER, outage, refusal, settled, start, state, wait};

#[tokio::test]
async fn a_token_that_was_replaced_is_read_again() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    host.server.token("token-77d1c0de", USER, &[]);
    host.write_token("token-77d1c0de");
    // A creation is repeated, because a 401 says that nothing was done.
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(host.server.runs().len(), 2);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn a_kubeconfig_that_was_replaced_is_read_again() {
    let host = TestHost::new().await;
    host.write_kubeconfig(&format!("{{token: {TOKEN}}}"));
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    host.server.token("token-77d1c0de", USER, &[]);
    host.write_kubeconfig("{token: token-77d1c0de}");
    start(&pipelines, "a-2").await.unwrap();
}

#[tokio::test]
async fn credentials_that_are_not_accepted_are_told_and_sent_once() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    host.server.clear_requests();
    let expected =
        "the Kubernetes API does not accept the host's credentials (401); replace the token or the client certificate";
    assert_eq!(refusal(start(&pipelines, "a-2").await), expected);
    assert_eq!(host.server.requests().len(), 1);
    // A run that goes on is not given up.
    assert_eq!(outage(state(&pipelines, "a-1").await), expected);
    host.server.token(TOKEN, USER, &[]);
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn without_credentials_the_user_is_anonymous() {
    let host = TestHost::new().await;
    host.write_kubeconfig("{}");
    let message = refusal(start(&host.pipelines(), "a-1").await);
    assert_eq!(
        message,
        "`system:anonymous` may not get `pipelines` in the namespace `ci`; add to a Role there: apiGroups: \
         [\"tekton.dev\"], resources: [\"pipelines\"], verbs: [\"get\"]"
    );
}

#[tokio::test]
async fn files_that_cannot_be_read_are_read_by_the_next_request() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    std::fs::remove_file(host.path("token")).unwrap();
    let message = outage(start(&pipelines, "a-1").await);
    assert!(message.contains("token` cannot be read"), "{message}");
    std::fs::rename(host.path("kube.config"), host.path("elsewhere")).unwrap();
    let message = outage(start(&pipelines, "a-2").await);
    assert!(message.ends_with("kube.config cannot be read: No such file or directory (os error 2)"), "{message}");
    std::fs::rename(host.path("elsewhere"), host.path("kube.config")).unwrap();
    host.write_token(TOKEN);
    start(&pipelines, "a-3").await.unwrap();
    assert_eq!(settled(&pipelines, "a-1").await, RunState::Absent);
}

#[tokio::test]
async fn a_context_selects_the_cluster_and_the_user() {
    let host = TestHost::new().await;
    let text = std::fs::read_to_string(host.path("kube.config")).unwrap();
    let text =
        text.replace("current-context: dev", "current-context: other") + "- name: v\n  user: {token: wrong-token}\n";
    let text = text.replace("contexts:\n", "contexts:\n- name: other\n  context: {cluster: c, user: v}\n");
    std::fs::write(host.path("kube.config"), text).unwrap();
    assert!(refusal(start(&host.pipelines(), "a-1").await).contains("does not accept"));
    let system = format!("{}\ncontext = 'dev'", crate::harness::SYSTEM);
    start(&host.with(Settings { system, ..Settings::default() }), "a-2").await.unwrap();
}

#[tokio::test]
async fn no_secret_is_written_to_a_file_or_a_message() {
    let host = TestHost::new().await;
    host.write_kubeconfig(&format!("{{token: {TOKEN}}}"));
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    assert!(!refusal(start(&pipelines, "a-2").await).contains(TOKEN));
    let mut folders = vec![host.path("state")];
    let mut files = 0;
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            assert!(!text.contains(TOKEN), "{}", path.display());
            files += 1;
        }
    }
    assert_eq!(files, 4, "two runs, the marker of the folder, and the id of the installation");
    let redacted = wardroom::base::redactor().redact(&format!("the token {TOKEN} is redacted")).into_owned();
    assert!(!redacted.contains(TOKEN), "{redacted}");
}
