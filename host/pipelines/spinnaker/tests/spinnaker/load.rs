//! Tests of the number of requests for many runs.

use std::{sync::Arc, time::Duration};

use wardroom::{adapter::Pipelines, model::Outcome};
use wardroom_spinnaker::Timing;

use crate::harness::{PIPELINE, Settings, TestHost, eventually, follow, key, version, within};

const RUNS: usize = 200;

async fn start_all(pipelines: &Arc<dyn Pipelines>) {
    let tasks: Vec<_> = (0..RUNS)
        .map(|at| {
            let pipelines = pipelines.clone();
            tokio::spawn(async move { pipelines.start(&key(&format!("a-{at}")), PIPELINE, &version("1.0")).await })
        })
        .collect();
    for task in tasks {
        task.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_need_about_one_request_a_second() {
    let host = TestHost::new().await;
    let system = "token = { file = 'token' }".to_owned();
    let pipelines = host.with(Settings { system, timing: Timing::default(), ..Settings::default() });
    start_all(&pipelines).await;
    assert_eq!(host.server.executions().len(), RUNS);
    // One list of pipelines serves the starts that arrive together.
    let definitions = host.server.count("GET", "/pipelineConfigs");
    assert!(definitions <= 5, "{definitions} requests for the pipelines of the application");
    let runs: Vec<_> = (0..RUNS).map(|at| follow(&pipelines, &format!("a-{at}"))).collect();
    eventually("the executions are listed", || host.server.count("GET", "/executions?") > 3).await;
    host.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(6)).await;
    let requests = host.server.requests();
    assert!(requests.len() <= 8, "{} requests in 6 seconds", requests.len());
    let longest = requests.iter().map(|(_, path)| path.len()).max().unwrap_or_default();
    assert!(longest < 4096, "a URL has {longest} bytes");
    host.server.end_all("SUCCEEDED");
    for (end, _) in runs {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
    assert_eq!(host.server.count("POST", "/"), 0, "no start is repeated");
}
