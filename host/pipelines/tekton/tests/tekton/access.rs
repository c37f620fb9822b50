//! Tests of `wardroom check --connect`.

use wardroom::prelude::{ChatFeatures, Engine, MemoryChat};
use wardroom_tekton::TektonFactory;

use crate::harness::{SYSTEM, Settings, TOKEN, TestHost, timing};

#[tokio::test]
async fn a_complete_setup_passes() {
    let host = TestHost::new().await;
    let passed = host.pipelines().probe().await.unwrap();
    assert_eq!(
        passed,
        [
            "cluster: signed in as `system:serviceaccount:ops:wardroom`",
            "cluster: all permissions in the namespace `ci`",
            "cluster: found the Pipeline `ci/deploy`",
        ]
    );
    assert_eq!(host.server.count("POST", "/selfsubjectaccessreviews"), 7);
    assert_eq!(host.server.runs().len(), 0);
}

#[tokio::test]
async fn each_missing_permission_is_told_with_its_rule() {
    let host = TestHost::new().await;
    host.server.install("openshift-pipelines.org");
    host.server.without_user_reviews();
    host.server.deny("create", "pipelineruns", "ci");
    host.server.deny("get", "pods/log", "*");
    host.server.deny("patch", "approvaltasks", "ci");
    let problems = host.pipelines().probe().await.unwrap_err();
    let rule = |verb: &str, resource: &str, group: &str| {
        format!(
            "cluster: the host's user may not {verb} `{resource}` in the namespace `ci`; add to a Role there: apiGroups: \
             [\"{group}\"], resources: [\"{resource}\"], verbs: [\"{verb}\"]"
        )
    };
    assert_eq!(
        problems,
        [
            rule("create", "pipelineruns", "tekton.dev"),
            rule("get", "pods/log", ""),
            rule("patch", "approvaltasks", "openshift-pipelines.org"),
        ]
    );
}

#[tokio::test]
async fn a_cluster_that_cannot_be_used_is_told() {
    let host = TestHost::new().await;
    let pipelines = host.with(Settings {
        system: format!("{SYSTEM}\nnamespaces = ['team-a']"),
        path: "team-a/rollback".to_owned(),
        ..Settings::default()
    });
    assert_eq!(
        pipelines.probe().await.unwrap_err(),
        ["cluster: the cluster has no Pipeline `rollback` in the namespace `team-a`"]
    );
    host.server.revoke(TOKEN);
    let problems = pipelines.probe().await.unwrap_err();
    assert_eq!(
        problems,
        [
            "cluster: the Kubernetes API does not accept the host's credentials (401); replace the token or the client certificate"
        ]
    );
}

#[tokio::test]
async fn the_check_of_a_configuration_includes_its_pipelines() {
    let host = TestHost::new().await;
    host.server.deny("create", "pipelineruns", "ci");
    let builder = Engine::builder()
        .chat(MemoryChat::new(ChatFeatures::PLAIN))
        .pipelines(TektonFactory::new(host.path("state")).timing(timing()));
    let text = format!(
        "[bot.marvin.memory]\n[environment.staging]\n[app.cms.deploy.staging]\npipeline = 'cluster:deploy'\nparameters = {{ \
         TAG = '[0-9.]+' }}\n[pipelines.cluster]\nkind = 'tekton'\n{SYSTEM}"
    );
    let config = builder.read_text(&text, host.folder.path()).unwrap_or_else(|problems| panic!("{problems}"));
    let review = builder.cache(host.path("code")).review(config).await.unwrap();
    let checks: Vec<String> = review.probe().await.into_iter().filter_map(Result::err).collect();
    assert_eq!(
        checks,
        [
            "cluster: `system:serviceaccount:ops:wardroom` may not create `pipelineruns` in the namespace `ci`; add to a Role \
          there: apiGroups: [\"tekton.dev\"], resources: [\"pipelineruns\"], verbs: [\"create\"]"
        ]
    );
    // The check leaves nothing behind.
    assert_eq!((host.server.runs().len(), host.path("state").exists()), (0, false));
}
