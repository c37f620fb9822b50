//! Tests of Pipelines and runs that the host did not start.

use serde_json::json;
use wardroom::{
    adapter::{ParameterDescription, StageState},
    model::Outcome,
};

use crate::harness::{PIPELINE, SYSTEM, Settings, TestHost, key, refusal, start, version};

fn open() -> Settings {
    Settings { system: format!("{SYSTEM}\nnamespaces = ['team-a']"), ..Settings::default() }
}

/// Adds a run of the Pipeline `deploy` that another client created.
fn foreign(host: &TestHost, name: &str) {
    host.server.create("ci", name, json!({ "tekton.dev/pipeline": "deploy" }));
    host.server.change(name, |run| run["spec"] = json!({ "pipelineRef": { "name": "deploy" } }));
    host.server.begin(name);
}

#[tokio::test]
async fn the_pipelines_of_the_allowed_namespaces_are_listed() {
    let host = TestHost::new().await;
    for (namespace, name) in [("ci", "rollback"), ("team-a", "deploy"), ("secret", "deploy")] {
        host.server.pipeline(namespace, name, json!({}));
    }
    let pipelines = host.with(open());
    assert_eq!(pipelines.list("", 10).await.unwrap(), ["deploy", "rollback", "team-a/deploy"]);
    assert_eq!(pipelines.list("deploy", 1).await.unwrap(), ["deploy"]);
    host.server.deny("list", "pipelines", "team-a");
    let message = refusal(pipelines.list("", 10).await);
    assert!(message.contains("may not list `pipelines` in the namespace `team-a`"), "{message}");
}

#[tokio::test]
async fn a_pipeline_is_described_with_its_newest_runs() {
    let host = TestHost::new().await;
    let params = json!([
        { "name": "TAG", "description": "The version." },
        { "name": "TARGET", "default": "staging", "enum": ["staging", "production"] },
        { "name": "REGIONS", "type": "array", "default": ["eu"] },
    ]);
    host.server.pipeline("ci", "deploy", json!({ "params": params }));
    for (name, created) in [("old", "2026-12-01T10:00:00Z"), ("new", "2026-12-01T11:00:00Z")] {
        foreign(&host, name);
        host.server.change(name, |run| run["metadata"]["creationTimestamp"] = json!(created));
    }
    host.server.end("old", "False", "PipelineRunTimeout", "too late");
    let described = host.pipelines().describe(PIPELINE).await.unwrap();
    let expected = ParameterDescription {
        name: "TAG".to_owned(),
        description: "The version.".to_owned(),
        required: true,
        ..ParameterDescription::default()
    };
    assert_eq!(described.parameters[0], expected);
    assert_eq!(described.parameters[1].choices, ["staging", "production"]);
    assert_eq!(described.parameters[2].default.as_deref(), Some("[\"eu\"]"));
    let runs: Vec<(&str, Option<Outcome>, &str)> =
        described.runs.iter().map(|run| (run.id.as_str(), run.outcome, run.message.as_str())).collect();
    assert_eq!(runs, [("new", None, ""), ("old", Some(Outcome::Failed), "the run timed out: too late")]);
}

#[tokio::test]
async fn a_run_of_another_client_is_shown_and_stopped() {
    let host = TestHost::new().await;
    foreign(&host, "nightly-x7k2p");
    host.server.task("nightly-x7k2p", "build", "Unknown", "Running", "");
    host.server.step("nightly-x7k2p", "build", "run", json!({ "running": {} }));
    host.server.log("nightly-x7k2p", "build", "run", b"one\n");
    let pipelines = host.pipelines();
    let view = pipelines.view(PIPELINE, "nightly-x7k2p").await.unwrap();
    assert_eq!((view.id.as_str(), view.outcome, view.is_waiting), ("nightly-x7k2p", None, false));
    assert_eq!((view.progress.stages[0].name.as_str(), view.progress.stages[0].state), ("build", StageState::Running));
    assert!(view.started.is_some());
    let output = pipelines.output_of(PIPELINE, "nightly-x7k2p", 100).await.unwrap();
    assert_eq!(output, "build/run: one\n");
    pipelines.stop(PIPELINE, "nightly-x7k2p").await.unwrap();
    assert_eq!(host.server.stops(), [("nightly-x7k2p".to_owned(), "CancelledRunFinally".to_owned())]);
    let view = pipelines.view(PIPELINE, "nightly-x7k2p").await.unwrap();
    assert_eq!(view.outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_run_of_another_pipeline_is_not_shown() {
    let host = TestHost::new().await;
    host.server.pipeline("ci", "rollback", json!({}));
    host.server.create("ci", "other", json!({ "tekton.dev/pipeline": "deploy" }));
    host.server.change("other", |run| run["spec"] = json!({ "pipelineRef": { "name": "rollback" } }));
    let pipelines = host.pipelines();
    for run in ["other", "missing"] {
        let expected = format!("the Pipeline `deploy` in the namespace `ci` has no run `{run}`");
        assert_eq!(refusal(pipelines.view(PIPELINE, run).await), expected);
        assert_eq!(refusal(pipelines.stop(PIPELINE, run).await), expected);
    }
    // The pipeline of an app has one name.
    let expected = "the Pipeline `deploy` is `cms/staging`; name it so";
    assert_eq!(refusal(pipelines.stop("cluster:deploy", "other").await), expected);
    assert_eq!(refusal(pipelines.view(PIPELINE, "../x").await), "`../x` is not the name of a PipelineRun");
    assert_eq!(host.server.stops(), []);
}

#[tokio::test]
async fn an_opened_pipeline_is_started_with_its_own_parameters() {
    let host = TestHost::new().await;
    host.server.pipeline("team-a", "roll-out", json!({ "params": [{ "name": "version" }] }));
    let pipelines = host.with(open());
    pipelines.start(&key("a-1"), "cluster:team-a/roll-out", &version("1.0")).await.unwrap();
    let run = &host.server.runs()[0];
    let expected = json!({ "pipelineRef": { "name": "roll-out" }, "params": [{ "name": "version", "value": "1.0" }] });
    assert_eq!((&run["spec"], &run["metadata"]["namespace"]), (&expected, &json!("team-a")));
    assert_eq!(run["metadata"]["labels"].get("wardroom/app"), None);
}

#[tokio::test]
async fn a_pipeline_has_one_path_only() {
    let host = TestHost::new().await;
    host.server.pipeline("secret", "deploy", json!({ "params": [{ "name": "version" }] }));
    let pipelines = host.with(open());
    for (at, path) in ["ci/deploy", "secret/deploy", "team-a/x/y", "Deploy", "", "/deploy"].into_iter().enumerate() {
        let name = format!("cluster:{path}");
        let message = refusal(pipelines.start(&key(&format!("a-{at}")), &name, &version("1.0")).await);
        let expected = format!(
            "`{path}` is not the path of a Pipeline: write its name, or NAMESPACE/NAME for one in another allowed namespace"
        );
        assert_eq!(message, expected);
    }
    assert_eq!(host.server.count("POST", "/"), 0);
    start(&pipelines, "b-1").await.unwrap();
}
