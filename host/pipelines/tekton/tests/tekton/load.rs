//! Tests of the number of requests while many runs are followed.

use std::{sync::Arc, time::Duration};

use wardroom::{adapter::Pipelines, model::Outcome};
use wardroom_tekton::Timing;

use crate::harness::{PIPELINE, SYSTEM, Settings, TestHost, eventually, follow, key, version, within};

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

/// Returns the number of requests in `seconds`.
async fn requests(host: &TestHost, seconds: u64) -> usize {
    host.server.clear_requests();
    tokio::time::sleep(Duration::from_secs(seconds)).await;
    host.server.requests().len()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn many_runs_need_about_one_request_a_second() {
    let host = TestHost::new().await;
    let settings =
        Settings { system: SYSTEM.replace("timeout = '1s'", ""), timing: Timing::default(), ..Settings::default() };
    let pipelines = host.with(settings);
    start_all(&pipelines).await;
    assert_eq!(host.server.runs().len(), RUNS);
    // One definition serves the starts that arrive together.
    let definitions = host.server.count("GET", "/pipelines/deploy");
    assert!(definitions <= 5, "{definitions} requests for the Pipeline");
    for run in host.server.runs() {
        host.server.task(run["metadata"]["name"].as_str().unwrap(), "build", "Unknown", "Running", "");
    }
    let runs: Vec<_> = (0..RUNS).map(|at| follow(&pipelines, &format!("a-{at}"))).collect();
    eventually("the tasks are listed", || {
        host.server.count("GET", "/taskruns?labelSelector=tekton.dev%2FpipelineRun+in") > 0
    })
    .await;
    let sent = requests(&host, 6).await;
    let lists = host.server.count("GET", "/pipelineruns?");
    let all = host.server.count("GET", "/taskruns?labelSelector=tekton.dev%2FpipelineRun+in");
    // One list of the runs in each poll; one read of output every two seconds, which lists the tasks of its run.
    assert!((2..=4).contains(&lists) && all <= 1, "{lists} lists of runs and {all} of all tasks in 6 seconds");
    assert!(sent <= 9, "{sent} requests in 6 seconds");
    host.server.end_all("True", "Succeeded");
    for (end, _) in runs {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
}
