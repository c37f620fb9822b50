//! Tests of pipelines and executions that the host did not start.

use std::sync::Arc;

use serde_json::json;
use wardroom::{
    adapter::{GateAnswer, ParameterDescription, Pipelines, StageState},
    model::Outcome,
};

use crate::harness::{APP, NAME, PIPELINE, TestHost, key, refusal, start, state};

const OTHER: &str = "cd:cms/Another pipeline";

fn answer(proceeds: bool) -> GateAnswer {
    GateAnswer { proceeds, choice: None, person: "@alice:example.org".to_owned() }
}

async fn view_error(pipelines: &Arc<dyn Pipelines>, pipeline: &str, run: &str) -> String {
    refusal(pipelines.view(pipeline, run).await)
}

#[tokio::test]
async fn the_pipelines_of_all_applications_are_listed() {
    let host = TestHost::new().await;
    host.server.pipeline("shop", "Deploy");
    host.server.pipeline("secret", "Deploy");
    host.server.deny("secret", "READ");
    let pipelines = host.pipelines();
    let all = ["cms/Another pipeline", "cms/Deploy to 50% / staging", "shop/Deploy"];
    assert_eq!(pipelines.list("", 10).await.unwrap(), all);
    assert_eq!(pipelines.list("Deploy", 1).await.unwrap(), all[1..2]);
    host.server.clear_requests();
    assert_eq!(pipelines.list("shop/", 10).await.unwrap(), all[2..]);
    assert_eq!(host.server.count("GET", "/pipelineConfigs"), 1, "only the application of the filter is read");
    for at in 0..60 {
        host.server.pipeline(&format!("app-{at:02}"), "Deploy");
    }
    assert_eq!(
        refusal(pipelines.list("Deploy", 10).await),
        "Spinnaker has 62 applications, and the pipelines of at most 50 are listed at once; write the application with a \
         slash, for example `app-00/`"
    );
}

#[tokio::test]
async fn a_pipeline_is_described_with_its_newest_executions() {
    let host = TestHost::new().await;
    let fields = json!({ "description": "Where to", "hasOptions": true, "default": "staging",
        "options": [{ "value": "staging" }, { "value": "production" }] });
    host.server.parameter(APP, NAME, "TARGET", fields);
    let pipelines = host.pipelines();
    for at in 0..12 {
        start(&pipelines, &format!("a-{at}")).await.unwrap();
    }
    let ids = host.server.executions();
    host.server.set_status(&ids[11], "TERMINAL");
    let described = pipelines.describe(PIPELINE).await.unwrap();
    let tag = ParameterDescription { name: "TAG".to_owned(), required: true, ..Default::default() };
    let target = ParameterDescription {
        name: "TARGET".to_owned(),
        description: "Where to".to_owned(),
        required: false,
        default: Some("staging".to_owned()),
        choices: vec!["staging".to_owned(), "production".to_owned()],
    };
    assert_eq!(described.parameters, [tag, target]);
    let runs: Vec<&str> = described.runs.iter().map(|run| run.id.as_str()).collect();
    let newest: Vec<&str> = ids.iter().rev().take(10).map(String::as_str).collect();
    assert_eq!(runs, newest);
    assert_eq!((described.runs[0].outcome, described.runs[1].outcome), (Some(Outcome::Failed), None));
    assert_eq!(described.runs[0].message, "the execution ended with TERMINAL");
    assert!(described.runs[0].url.as_ref().unwrap().ends_with(&ids[11]));
    assert_eq!(pipelines.describe(OTHER).await.unwrap(), Default::default());
}

#[tokio::test]
async fn a_pipeline_that_no_app_names_is_started() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    pipelines.start(&key("a-1"), OTHER, &Default::default()).await.unwrap();
    assert_eq!(host.server.execution(&host.only())["name"], "Another pipeline");
    // The operator's rules are patterns for paths, so no other path may name the same pipeline.
    for (at, path) in ["cms/4399e00d-3749-4418-b432-000000000000", "CMS/Another pipeline"].into_iter().enumerate() {
        let (name, path) = (format!("b-{at}"), format!("cd:{path}"));
        let message = refusal(pipelines.start(&key(&name), &path, &Default::default()).await);
        assert!(message.contains(" in Spinnaker has no pipeline `"), "{message}");
        assert!(refusal(pipelines.view(&path, &host.only()).await).contains(" in Spinnaker has no pipeline `"));
        assert!(refusal(pipelines.describe(&path).await).contains(" in Spinnaker has no pipeline `"));
    }
    assert_eq!(
        refusal(pipelines.start(&key("a-2"), "cd:cms", &Default::default()).await),
        "`cms` names no Spinnaker pipeline: it has no slash between the application and the pipeline"
    );
}

#[tokio::test]
async fn an_execution_is_shown_under_its_own_pipeline_only() {
    let host = TestHost::new().await;
    let id = host.server.start_by(APP, NAME, json!({ "type": "git" }));
    host.server.change_stage(&id, "Bake", json!({ "status": "RUNNING" }));
    let pipelines = host.pipelines();
    let view = pipelines.view(PIPELINE, &id).await.unwrap();
    assert_eq!((&*view.id, view.outcome, view.is_waiting), (&*id, None, false));
    assert_eq!(view.progress.stages[0].state, StageState::Running);
    assert!(view.started.is_some());
    assert_eq!(
        view_error(&pipelines, OTHER, &id).await,
        format!("the pipeline `cms/Another pipeline` has no execution `{id}`")
    );
    for unknown in ["17", "../../applications", "01J0000000000000000000000"] {
        let expected = format!("the pipeline `cms/Deploy to 50% / staging` has no execution `{unknown}`");
        assert_eq!(view_error(&pipelines, PIPELINE, unknown).await, expected);
    }
    assert_eq!(pipelines.output_of(PIPELINE, &id, 100).await.unwrap(), "Bake: running\n");
    assert_eq!(refusal(pipelines.tests(PIPELINE, &id).await), "Spinnaker has no test results");
    pipelines.stop(PIPELINE, &id).await.unwrap();
    assert_eq!(host.server.cancellations(&id), [false]);
    assert_eq!(pipelines.view(PIPELINE, &id).await.unwrap().outcome, Some(Outcome::Cancelled));
}

#[tokio::test]
async fn a_judgement_of_any_execution_is_answered() {
    let host = TestHost::new().await;
    let stage = json!({ "type": "manualJudgment", "status": "RUNNING", "context": { "instructions": "Sure?" } });
    host.server.stage(APP, NAME, "Go live?", stage);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let id = host.only();
    // By the key of a run of the host, and by the id of the execution.
    let view = pipelines.view(PIPELINE, "a-1").await.unwrap();
    assert_eq!((&*view.id, &*view.progress.gates[0].message), (&*id, "Go live?: Sure?"));
    let gate = view.progress.gates[0].id.clone();
    pipelines.answer(PIPELINE, &id, &gate, &answer(true)).await.unwrap();
    assert_eq!(host.server.execution(&id)["stages"][2]["status"], "SUCCEEDED");
    assert_eq!(
        refusal(pipelines.answer(PIPELINE, "a-1", &gate, &answer(false)).await),
        format!("the execution `{id}` no longer waits for this judgement; it was answered or has ended")
    );
    assert!(state(&pipelines, "a-1").await.is_ok());
}
