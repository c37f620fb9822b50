//! Tests of the number of requests while many runs are followed.

use std::{sync::Arc, time::Duration};

use wardroom::{adapter::Pipelines, model::Outcome};
use wardroom_jenkins::Timing;

use crate::harness::{JOB, PIPELINE, Settings, TestHost, eventually, follow, key, version, within};

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
async fn many_runs_of_a_job_need_about_one_request_a_second() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let mut settings = Settings { system: "token = { file = 'token' }".to_owned(), ..Settings::default() };
    settings.timing = Timing::default();
    let pipelines = host.with(settings);
    start_all(&pipelines).await;
    assert_eq!(host.server.waiting_items().len(), RUNS);
    // One definition serves the starts that arrive together.
    let definitions = host.server.count("GET", "/job/web/job/cms%20deploy/api/json");
    assert!(definitions <= 5, "{definitions} requests for the definition of the job");

    let runs: Vec<_> = (0..RUNS).map(|at| follow(&pipelines, &format!("a-{at}"))).collect();
    eventually("the queue is listed", || host.server.count("GET", "/queue/api/json") > 0).await;
    let waiting = requests(&host, 4).await;
    assert!(waiting <= 4, "{waiting} requests in 4 seconds while the runs wait in the queue");

    host.server.release_queue();
    host.server.clear_requests();
    eventually("the executors are listed", || host.server.count("GET", "/computer/") > 1).await;
    let building = requests(&host, 6).await;
    assert!(building <= 9, "{building} requests in 6 seconds while the builds run");

    host.server.end_all("SUCCESS");
    for (end, _) in runs {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
    assert_eq!(host.server.builds(JOB).len(), RUNS);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_of_many_jobs_are_seen_in_one_list() {
    let host = TestHost::new().await;
    let mut backends = Vec::new();
    // One backend has one pipeline in these tests, so each job has its own; the list is per backend.
    let jobs: Vec<String> = (0..30).map(|at| format!("many/job-{at}")).collect();
    for job in &jobs {
        host.server.pipeline(job);
        host.server.parameter(job, "TAG");
    }
    let pipelines = crate::harness::read_many(&host, &jobs);
    for at in 0..jobs.len() {
        pipelines.start(&key(&format!("a-{at}")), &format!("app-{at}/staging"), &version("1.0")).await.unwrap();
    }
    for at in 0..jobs.len() {
        backends.push(follow(&pipelines, &format!("a-{at}")));
    }
    for (_, lines) in &mut backends {
        crate::harness::line_with(lines, "build #1: ").await;
    }
    let seen = || host.server.count("GET", "/computer/api/json");
    host.server.clear_requests();
    eventually("the list is requested", || seen() > 4).await;
    host.server.clear_requests();
    eventually("the list is requested again", || seen() > 4).await;
    let others = host.server.count("GET", "/1/api/json");
    assert!(others <= 2, "{others} requests for single builds");
    host.server.end_all("SUCCESS");
    for (end, _) in backends {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_the_list_of_executors_each_build_is_polled() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.hides_executors = true);
    let jobs: Vec<String> = (0..30).map(|at| format!("many/job-{at}")).collect();
    for job in &jobs {
        host.server.pipeline(job);
        host.server.parameter(job, "TAG");
        host.server.ends_with(job, "SUCCESS");
    }
    let pipelines = crate::harness::read_many(&host, &jobs);
    let mut runs = Vec::new();
    for at in 0..jobs.len() {
        let name = format!("a-{at}");
        pipelines.start(&key(&name), &format!("app-{at}/staging"), &version("1.0")).await.unwrap();
        runs.push(follow(&pipelines, &name));
    }
    for (end, _) in runs {
        assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
    }
}
