//! Tests of the start of an execution.

use std::collections::BTreeMap;

use serde_json::json;
use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{APP, NAME, PIPELINE, Settings, TestHost, eventually, key, refusal, start, state, version, wait};

#[tokio::test]
async fn an_execution_gets_the_values_and_the_key() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let link = start(&pipelines, "a-1").await.unwrap().unwrap();
    let id = host.only();
    assert_eq!(link, format!("https://deck.example.org/#/applications/cms/executions/details/{id}"));
    let expected = json!({
        "type": "manual", "user": "wardroom", "parameters": { "TAG": "1.0" }, "correlationId": "wardroom-a-1",
        "notifications": [],
    });
    assert_eq!(host.server.execution(&id)["trigger"], expected);
    assert_eq!(host.server.execution(&id)["name"], NAME);
    // The second request with the key returns the first result.
    assert_eq!(start(&pipelines, "a-1").await.unwrap(), Some(link));
    assert_eq!((host.server.executions().len(), host.server.count("POST", "/")), (1, 1));
    // A name with a slash or a percent sign cannot be in a path, so the id is sent.
    assert_eq!(host.server.count("POST", "/gate/pipelines/cms/4399e00d-3749-4418-b432-000000000001"), 1);
}

#[tokio::test]
async fn a_pipeline_is_found_by_its_id() {
    let host = TestHost::new().await;
    let path = "cms/4399e00d-3749-4418-b432-000000000001".to_owned();
    let pipelines = host.with(Settings { path, ..Settings::default() });
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(host.server.execution(&host.only())["name"], NAME);
}

#[tokio::test]
async fn without_deck_there_is_no_link() {
    let host = TestHost::new().await;
    let system = "token = { file = 'token' }\ntimeout = '1s'".to_owned();
    let pipelines = host.with(Settings { system, ..Settings::default() });
    assert_eq!(start(&pipelines, "a-1").await.unwrap(), None);
    host.server.end_all("SUCCEEDED");
    let (end, lines) = wait(&pipelines, "a-1").await;
    assert!(!end.details.contains_key("url"), "{:?}", end.details);
    assert_eq!(lines[0], format!("execution {}", host.only()));
}

#[tokio::test]
async fn a_value_with_any_character_arrives_unchanged() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let value = "1.0 & $(rm -rf /) ;'\"%00\n&TAG=2 +ü€ $x {trigger}";
    pipelines.start(&key("a-1"), PIPELINE, &version(value)).await.unwrap();
    assert_eq!(host.server.execution(&host.only())["trigger"]["parameters"]["TAG"], value);
}

#[tokio::test]
async fn values_that_the_pipeline_does_not_accept_are_refused_before_the_trigger() {
    let host = TestHost::new().await;
    host.server.parameter(APP, NAME, "TARGET", json!({ "hasOptions": true, "options": [{ "value": "staging" }] }));
    for (at, (keys, message)) in [
        (
            "values = { TAG = '{version}', ZONE = 'a' }",
            "the pipeline `cms/Deploy to 50% / staging` does not define `ZONE`; add the parameter to the pipeline in \
             Spinnaker, or correct `values`; it defines `TAG`, `TARGET`",
        ),
        (
            "values = { TAG = '{version}', TARGET = 'production' }",
            "the parameter `TARGET` of the pipeline `cms/Deploy to 50% / staging` must be one of `staging`",
        ),
        (
            "values = { TARGET = 'staging' }",
            "the pipeline `cms/Deploy to 50% / staging` requires a value for the parameter `TAG`; add it to `values`",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let parameters = if keys.contains("TAG ") { vec!["version".to_owned()] } else { Vec::new() };
        let pipelines = host.with(Settings { keys: keys.to_owned(), parameters, ..Settings::default() });
        let name = format!("a-{at}");
        assert_eq!(refusal(start(&pipelines, &name).await), message);
        assert_eq!(state(&pipelines, &name).await.unwrap(), RunState::Absent);
        // The refusal is final.
        assert_eq!(refusal(start(&pipelines, &name).await), message);
    }
    assert_eq!(host.server.count("POST", "/"), 0);
}

#[tokio::test]
async fn a_pipeline_that_cannot_be_started_is_refused_with_the_reason() {
    let host = TestHost::new().await;
    host.server.pipeline(APP, "Off");
    host.server.disable(APP, "Off");
    for (at, (path, message)) in [
        ("cms/Off", "the pipeline `cms/Off` is disabled in Spinnaker; enable it there"),
        (
            "cms/Nothing",
            "the application `cms` in Spinnaker has no pipeline `Nothing`; it has `Another pipeline`, `Deploy to 50% / \
             staging`, `Off`",
        ),
        (
            "shop/Deploy",
            "Spinnaker has no application `shop` with pipelines that the host's account can see; check the name, and give \
             a role of the account the permission READ on the application",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let settings = Settings {
            path: path.to_owned(),
            keys: String::new(),
            parameters: Vec::new(),
            ..Settings::default()
        };
        let pipelines = host.with(settings);
        let name = format!("a-{at}");
        let started = pipelines.start(&key(&name), PIPELINE, &BTreeMap::new()).await;
        assert_eq!(refusal(started), message);
        assert_eq!(state(&pipelines, &name).await.unwrap(), RunState::Absent);
    }
    assert_eq!(host.server.count("POST", "/"), 0);
}

#[tokio::test]
async fn a_missing_permission_to_start_is_named() {
    let host = TestHost::new().await;
    host.server.deny(APP, "EXECUTE");
    let pipelines = host.pipelines();
    assert_eq!(
        refusal(start(&pipelines, "a-1").await),
        "Spinnaker forbids the request for the pipeline `cms/Deploy to 50% / staging` (403: Access is denied); give a role of \
         the host's account the permission EXECUTE on the application `cms`"
    );
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_pipeline_that_is_disabled_after_the_check_ends_the_run_with_the_reason() {
    let host = TestHost::new().await;
    let mut settings = Settings::default();
    settings.timing.definition = std::time::Duration::from_secs(60);
    let pipelines = host.with(settings);
    start(&pipelines, "a-1").await.unwrap();
    host.server.disable(APP, NAME);
    let message = refusal(start(&pipelines, "a-2").await);
    assert_eq!(
        message,
        "Spinnaker rejects the request for the pipeline `cms/Deploy to 50% / staging` (400: Status: 400, URL: \
         http://orca:8083/orchestrate, Message: Pipeline is disabled and cannot be started.)"
    );
    assert_eq!(state(&pipelines, "a-2").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn a_pipeline_of_a_template_takes_parameters_that_it_does_not_list() {
    let host = TestHost::new().await;
    host.server.template(APP, "Another pipeline");
    let path = "cms/Another pipeline".to_owned();
    let pipelines = host.with(Settings { path, ..Settings::default() });
    start(&pipelines, "a-1").await.unwrap();
    host.server.end_all("SUCCEEDED");
    assert_eq!(wait(&pipelines, "a-1").await.0.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_start_continues_although_its_caller_is_gone() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.slow = std::time::Duration::from_millis(100));
    let pipelines = host.pipelines();
    let started = tokio::time::timeout(std::time::Duration::from_millis(120), start(&pipelines, "a-1")).await;
    assert!(started.is_err(), "the caller gave up");
    eventually("the execution is started", || host.server.executions().len() == 1).await;
    assert!(start(&pipelines, "a-1").await.unwrap().is_some());
    assert_eq!(host.server.count("POST", "/"), 1);
}
