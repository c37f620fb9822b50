//! Tests of the start of a run.

use serde_json::{Value, json};
use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{PIPELINE, RUN, SYSTEM, Settings, TestHost, key, outage, refusal, start, state, version, wait};

#[tokio::test]
async fn a_pipeline_run_gets_the_values_and_the_labels() {
    let host = TestHost::new().await;
    let link = "link = 'https://tekton.example.org/#/namespaces/{namespace}/pipelineruns/{run}'";
    let settings = || Settings { system: format!("{SYSTEM}\n{link}"), ..Settings::default() };
    let pipelines = host.with(settings());
    let shown = start(&pipelines, "a-1").await.unwrap().unwrap();
    assert_eq!(shown, "https://tekton.example.org/#/namespaces/ci/pipelineruns/wardroom-a-1");
    let runs = host.server.runs();
    assert_eq!(runs.len(), 1);
    let (metadata, spec) = (&runs[0]["metadata"], &runs[0]["spec"]);
    assert_eq!(*spec, json!({ "pipelineRef": { "name": "deploy" }, "params": [{ "name": "TAG", "value": "1.0" }] }));
    assert_eq!((&metadata["name"], &metadata["namespace"]), (&json!(RUN), &json!("ci")));
    let labels = &metadata["labels"];
    assert_eq!(labels["wardroom/installation"].as_str().unwrap().len(), 16);
    for (name, value) in [
        ("app.kubernetes.io/managed-by", "wardroom"),
        ("wardroom/run", "a-1"),
        ("wardroom/app", "cms"),
        ("wardroom/environment", "staging"),
    ] {
        assert_eq!(labels[name], value);
    }
    assert_eq!(metadata["annotations"]["wardroom/deployment"], PIPELINE);
    // The second request with the key returns the first result.
    assert!(start(&pipelines, "a-1").await.unwrap().is_some());
    assert!(start(&host.with(settings()), "a-1").await.unwrap().is_some(), "after a restart");
    assert_eq!((host.server.runs().len(), host.server.count("POST", "/pipelineruns?fieldValidation=Strict")), (1, 1));
}

#[tokio::test]
async fn lists_objects_workspaces_and_timeouts_are_passed_on() {
    let host = TestHost::new().await;
    let spec = json!({
        "params": [{ "name": "TAG" }, { "name": "REGIONS", "type": "array" },
            { "name": "IMAGE", "type": "object", "properties": { "repo": {}, "tag": {} } }],
        "workspaces": [{ "name": "source" }, { "name": "cache" }, { "name": "config" }, { "name": "keys" },
            { "name": "scratch" }],
    });
    host.server.pipeline("team-a", "deploy.v2", spec);
    let keys = "service_account = 'deployer'
        timeouts = { pipeline = '1h', tasks = '50m', finally = '10m' }
        [values]
        TAG = 'v{version}'
        REGIONS = ['eu', '{version}']
        IMAGE = { repo = 'cms', tag = '{version}' }
        [workspaces]
        source = { claim = 'cms-source', sub_path = 'src' }
        cache = { empty_dir = true }
        config = { config_map = 'cms' }
        keys = { secret = 'cms-deploy' }
        scratch = { size = '1Gi', storage_class = 'fast' }";
    let system = format!("{SYSTEM}\nnamespaces = ['team-a']");
    let settings = Settings { system, path: "team-a/deploy.v2".to_owned(), ..Settings::keys(keys) };
    let pipelines = host.with(settings);
    // Any text arrives unchanged.
    let value = "1.0 & $HOME ;'\"%00\n{}ü€";
    pipelines.start(&key("a-1"), PIPELINE, &version(value)).await.unwrap();
    let run = &host.server.runs()[0];
    let claim = json!({ "spec": { "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } },
        "storageClassName": "fast" } });
    let expected = json!({
        "pipelineRef": { "name": "deploy.v2" },
        "params": [
            { "name": "IMAGE", "value": { "repo": "cms", "tag": value } },
            { "name": "REGIONS", "value": ["eu", value] },
            { "name": "TAG", "value": format!("v{value}") },
        ],
        "taskRunTemplate": { "serviceAccountName": "deployer" },
        "timeouts": { "pipeline": "3600s", "tasks": "3000s", "finally": "600s" },
        "workspaces": [
            { "name": "cache", "emptyDir": {} },
            { "name": "config", "configMap": { "name": "cms" } },
            { "name": "keys", "secret": { "secretName": "cms-deploy" } },
            { "name": "scratch", "volumeClaimTemplate": claim },
            { "name": "source", "persistentVolumeClaim": { "claimName": "cms-source" }, "subPath": "src" },
        ],
    });
    assert_eq!(run["spec"], expected);
    assert_eq!(run["metadata"]["namespace"], "team-a");
}

#[tokio::test]
async fn a_value_that_tekton_would_ignore_is_refused_before_anything_is_created() {
    let host = TestHost::new().await;
    for (at, (keys, message)) in [
        (
            "values = { TAG = '{version}', REGION = 'eu' }",
            "the Pipeline `deploy` in the namespace `ci` does not define `REGION`, so Tekton would ignore the value; it \
             defines `TAG`",
        ),
        (
            "values = { TAG = ['{version}'] }",
            "the parameter `TAG` of the Pipeline `deploy` in the namespace `ci` has the type `string`, so `values` needs a \
             text: `\"a\"`",
        ),
        (
            "values = { TAG = '{version}' }\nworkspaces = { source = { empty_dir = true } }",
            "the Pipeline `deploy` in the namespace `ci` has no workspace `source`; it has no workspace",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let pipelines = host.with(Settings::keys(keys));
        let name = format!("a-{at}");
        assert_eq!(refusal(start(&pipelines, &name).await), message);
        assert_eq!(state(&pipelines, &name).await.unwrap(), RunState::Absent);
    }
    let message = refusal(host.pipelines().start(&key("b-1"), PIPELINE, &version("$(context.pipelineRun.uid)")).await);
    assert_eq!(message, "the value of `version` contains `$(`, which Tekton would replace; use a value without it");
    assert_eq!(host.server.count("POST", "/"), 0);
}

#[tokio::test]
async fn a_pipeline_that_does_not_exist_is_named() {
    let host = TestHost::new().await;
    let pipelines = host.with(Settings { path: "rollback".to_owned(), ..Settings::default() });
    assert_eq!(refusal(start(&pipelines, "a-1").await), "the cluster has no Pipeline `rollback` in the namespace `ci`");
    host.server.uninstall("tekton.dev");
    assert_eq!(
        refusal(start(&pipelines, "a-2").await),
        "the cluster does not serve the API `tekton.dev/v1` (404); install Tekton Pipelines in it, or correct the address \
         of the cluster"
    );
}

#[tokio::test]
async fn a_creation_that_the_cluster_rejects_starts_nothing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server
        .faults(|faults| faults.webhook_refusal = "validation failed: invalid value: 1x: spec.timeouts".to_owned());
    assert_eq!(
        refusal(start(&pipelines, "a-1").await),
        "the cluster rejects the request for PipelineRun `wardroom-a-1` in the namespace `ci` (400: admission webhook \
         \"validation.webhook.pipeline.tekton.dev\" denied the request: validation failed: invalid value: 1x: spec.timeouts)"
    );
    host.server.faults(|faults| (faults.webhook_refusal, faults.webhook_timeouts) = (String::new(), 1));
    let message = outage(start(&pipelines, "a-2").await);
    assert!(
        message.starts_with(
            "the admission webhook `validation.webhook.pipeline.tekton.dev` of the cluster did not answer, so that \
             nothing was changed (500: Internal error occurred: failed calling webhook"
        ),
        "{message}"
    );
    for name in ["a-1", "a-2"] {
        assert_eq!(state(&pipelines, name).await.unwrap(), RunState::Absent);
    }
    // A namespace that was deleted between the two requests.
    let mut settings = Settings::default();
    settings.timing.definition = std::time::Duration::from_secs(60);
    let pipelines = host.with(settings);
    start(&pipelines, "a-3").await.unwrap();
    host.server.delete_namespace("ci");
    assert_eq!(
        refusal(start(&pipelines, "a-4").await),
        "the cluster has no namespace `ci`; correct the namespace of the pipeline"
    );
}

#[tokio::test]
async fn a_missing_permission_is_told_with_the_rule_that_is_missing() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    host.server.deny("get", "pipelines", "ci");
    assert_eq!(
        refusal(start(&pipelines, "a-1").await),
        "`system:serviceaccount:ops:wardroom` may not get `pipelines` in the namespace `ci`; add to a Role there: \
         apiGroups: [\"tekton.dev\"], resources: [\"pipelines\"], verbs: [\"get\"]"
    );
    host.server.allow("get", "pipelines", "ci");
    host.server.deny("create", "pipelineruns", "ci");
    assert_eq!(
        refusal(start(&pipelines, "a-2").await),
        "`system:serviceaccount:ops:wardroom` may not create `pipelineruns` in the namespace `ci`; add to a Role there: \
         apiGroups: [\"tekton.dev\"], resources: [\"pipelineruns\"], verbs: [\"create\"]"
    );
    assert_eq!(state(&pipelines, "a-2").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_name_that_another_one_has_taken_is_not_adopted() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let other = json!({ "wardroom/run": "a-1", "wardroom/installation": "0123456789abcdef" });
    for labels in [json!({}), other] {
        host.server.create("ci", RUN, labels);
        let name = format!("the PipelineRun `{RUN}` in the namespace `ci`");
        let fresh = host.with(Settings::default());
        let message = refusal(start(&fresh, "a-1").await);
        assert_eq!(
            message,
            format!("{name} exists already, and this host did not create it; delete it, or start the deployment again")
        );
        assert_eq!(state(&fresh, "a-1").await.unwrap(), RunState::Absent);
        fresh.forget(&key("a-1"), PIPELINE).await.unwrap();
    }
    assert_eq!(host.server.stops(), []);
    drop(pipelines);
}

#[tokio::test]
async fn many_requests_with_one_key_create_one_pipeline_run() {
    let host = TestHost::new().await;
    // Two backends with the same folder: two processes, as after a restart that overlaps.
    let (pipelines, other) = (host.pipelines(), host.pipelines());
    let starts = (0..20).map(|at| {
        let pipelines = if at % 2 == 0 { pipelines.clone() } else { other.clone() };
        tokio::spawn(async move { start(&pipelines, "a-1").await })
    });
    let tasks: Vec<_> = starts.collect();
    let mut started = 0;
    for task in tasks {
        started += usize::from(task.await.unwrap().is_ok());
    }
    assert!(started >= 10, "{started}");
    assert_eq!(host.server.runs().len(), 1);
}

#[tokio::test]
async fn a_run_of_which_the_host_lost_its_files_is_found_by_its_name() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    // The files of the runs are lost, and the id of the installation is not.
    std::fs::remove_dir_all(host.path("state/tekton/cluster")).unwrap();
    let restarted = host.pipelines();
    assert_eq!(state(&restarted, "a-1").await.unwrap(), RunState::Running);
    host.server.end(RUN, "True", "Succeeded", "");
    assert_eq!(wait(&restarted, "a-1").await.0.outcome, Outcome::Succeeded);
    assert_eq!(state(&restarted, "a-2").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_run_of_another_installation_is_unknowable_after_the_state_was_lost() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    std::fs::remove_dir_all(host.path("state")).unwrap();
    match state(&host.pipelines(), "a-1").await.unwrap() {
        RunState::Unknowable(reason) => assert_eq!(
            reason,
            "the files of the runs in the state folder are missing, and the PipelineRun `wardroom-a-1` in the namespace `ci` \
             was created by another installation, or by this one before the files were lost; look at it in the cluster"
        ),
        other => panic!("{other:?}"),
    }
    assert_eq!(host.server.runs().len(), 1);
}

#[tokio::test]
async fn a_field_that_the_cluster_does_not_know_is_an_error() {
    // An old Tekton that has no `taskRunTemplate` would drop the service account.
    let host = TestHost::new().await;
    let keys = "values = { TAG = '{version}' }\nservice_account = 'deployer'";
    start(&host.with(Settings::keys(keys)), "a-1").await.unwrap();
    let strict =
        host.server.requests().iter().filter(|(method, path)| method == "POST" && path.contains("=Strict")).count();
    assert_eq!(strict, 1);
    assert_eq!(host.server.runs()[0]["spec"]["taskRunTemplate"]["serviceAccountName"], Value::from("deployer"));
}
