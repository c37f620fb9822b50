//! Tests of the start of a build.

use std::collections::BTreeMap;

use wardroom::{adapter::RunState, model::Outcome};

use crate::harness::{JOB, PIPELINE, RUN, Settings, TestHost, key, refusal, start, state, version, wait};

#[tokio::test]
async fn a_build_gets_the_values_and_the_key() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let link = start(&pipelines, "a-1").await.unwrap().unwrap();
    assert_eq!(link, format!("{}/job/web/job/cms%20deploy/", host.server.url()));
    let builds = host.server.builds(JOB);
    assert_eq!(builds.len(), 1);
    let expected = [("TAG", "1.0"), (RUN, "a-1")].map(|(name, value)| (name.to_owned(), value.to_owned()));
    assert_eq!(builds[0].parameters, expected);
    // The second request with the key returns the first result.
    assert!(start(&pipelines, "a-1").await.unwrap().is_some());
    assert_eq!((host.server.builds(JOB).len(), host.server.count("POST", "/buildWithParameters")), (1, 1));
    assert_eq!(host.server.count("POST", "delay=0sec"), 1, "no quiet period");
}

#[tokio::test]
async fn the_name_of_a_branch_is_encoded_twice() {
    let host = TestHost::new().await;
    let branch = "app/feature%2Flogin für 50%";
    host.server.pipeline(branch);
    host.server.parameter(branch, "TAG");
    host.server.ends_with(branch, "SUCCESS");
    let pipelines = host.with(Settings::job(branch));
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(host.server.count("POST", "/job/app/job/feature%252Flogin%20f%C3%BCr%2050%25/"), 1);
    let (end, _) = wait(&pipelines, "a-1").await;
    assert_eq!(end.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_value_with_any_character_arrives_unchanged() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    let value = "1.0 & $(rm -rf /) ;'\"%00\n&TAG=2 +ü€";
    pipelines.start(&key("a-1"), PIPELINE, &version(value)).await.unwrap();
    assert_eq!(host.server.builds(JOB)[0].parameters[0], ("TAG".to_owned(), value.to_owned()));
}

#[tokio::test]
async fn a_job_without_parameters_is_started() {
    let host = TestHost::new().await;
    host.server.freestyle("nightly");
    let settings = || Settings { keys: String::new(), parameters: Vec::new(), ..Settings::job("nightly") };
    let pipelines = host.with(settings());
    pipelines.start(&key("a-1"), PIPELINE, &BTreeMap::new()).await.unwrap();
    assert_eq!(host.server.builds("nightly").len(), 1);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn parameters_that_the_job_does_not_define_are_refused_before_the_trigger() {
    let host = TestHost::new().await;
    let keys = "values = { TAG = '{version}', REGION = 'eu', ZONE = 'a' }".to_owned();
    let pipelines = host.with(Settings { keys, ..Settings::default() });
    let message = refusal(start(&pipelines, "a-1").await);
    assert_eq!(
        message,
        "the job `web/cms deploy` does not define `REGION`, `ZONE`, so Jenkins would ignore the value; it defines `TAG`; \
         correct the name or the job"
    );
    assert_eq!(host.server.count("POST", "/"), 0);
    // The refusal is final, also after the job defines the parameters.
    host.server.parameter(JOB, "REGION");
    host.server.parameter(JOB, "ZONE");
    assert_eq!(refusal(start(&pipelines, "a-1").await), message);
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    start(&pipelines, "a-2").await.unwrap();
}

#[tokio::test]
async fn a_value_that_a_parameter_cannot_have_is_refused() {
    let host = TestHost::new().await;
    host.server.parameter_of(JOB, "TARGET", "ChoiceParameterDefinition", &["staging", "production"]);
    host.server.parameter_of(JOB, "FORCE", "BooleanParameterDefinition", &[]);
    for (values, message) in [
        (
            "TARGET = 'prod'",
            "the parameter `TARGET` of the job `web/cms deploy` must be one of `staging`, `production`",
        ),
        ("FORCE = 'yes'", "the parameter `FORCE` of the job `web/cms deploy` must be `true` or `false`"),
    ] {
        let keys = format!("values = {{ TAG = '{{version}}', {values} }}");
        let pipelines = host.with(Settings { keys, ..Settings::default() });
        assert_eq!(refusal(start(&pipelines, &format!("a-{}", values.len())).await), message);
    }
    assert_eq!(host.server.count("POST", "/"), 0);
}

#[tokio::test]
async fn a_job_that_cannot_be_built_is_refused_with_the_reason() {
    let host = TestHost::new().await;
    host.server.pipeline("web/off");
    host.server.disable("web/off");
    for (at, (job, reason)) in [
        ("web/off", "the job `web/off` is disabled in Jenkins; enable it there"),
        ("web", "`web` is a folder in Jenkins and not a job; add the name of the job or of the branch"),
        (
            "web/none",
            "Jenkins has no job `web/none` that the user `bot` can see; check the name, and give the user the permission \
             Job/Read",
        ),
    ]
    .into_iter()
    .enumerate()
    {
        let pipelines = host.with(Settings::job(job));
        let name = format!("a-{at}");
        assert_eq!(refusal(start(&pipelines, &name).await), reason);
        assert_eq!(state(&pipelines, &name).await.unwrap(), RunState::Absent);
    }
}

#[tokio::test]
async fn a_missing_permission_is_named_and_starts_nothing() {
    let host = TestHost::new().await;
    host.server.deny("bot", "hudson.model.Item.Build");
    let pipelines = host.pipelines();
    assert_eq!(
        refusal(start(&pipelines, "a-1").await),
        "the Jenkins user `bot` lacks the permission Build (`hudson.model.Item.Build`) for job `web/cms deploy`; grant it \
         in Jenkins"
    );
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
}

#[tokio::test]
async fn requests_that_jenkins_merges_share_a_build_and_say_so() {
    let host = TestHost::without_key().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(host.server.waiting_items().len(), 1, "one item for both");
    host.server.release_queue();
    host.server.end(JOB, 1, "SUCCESS");
    let (first, _) = wait(&pipelines, "a-1").await;
    let (second, _) = wait(&pipelines, "a-2").await;
    assert_eq!(first.details.get("note"), None);
    assert_eq!(
        second.details["note"],
        "Jenkins merged this request with an identical one in its queue; both have the result of build #1."
    );
}

#[tokio::test]
async fn runs_with_a_key_are_never_merged() {
    let host = TestHost::new().await;
    host.server.hold_queue("Waiting for next available executor");
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(host.server.waiting_items().len(), 2);
}

#[tokio::test]
async fn many_requests_with_one_key_start_one_build() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    // Two backends with the same folder: two processes, as after a restart that overlaps.
    let other = host.pipelines();
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
    assert_eq!(host.server.builds(JOB).len(), 1);
}

#[tokio::test]
async fn after_absent_no_build_starts() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    assert_eq!(refusal(start(&pipelines, "a-1").await), "the pipeline run was never started");
    assert_eq!(refusal(start(&host.pipelines(), "a-1").await), "the pipeline run was never started", "another process");
    assert_eq!(host.server.count("POST", "/"), 0);
    // The engine removes the data of a deleted job.
    pipelines.forget(&key("a-1"), PIPELINE).await.unwrap();
    pipelines.forget(&key("a-1"), PIPELINE).await.unwrap();
}

#[tokio::test]
async fn a_dropped_start_is_carried_out_once() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.slow = std::time::Duration::from_millis(100));
    let pipelines = host.pipelines();
    let dropped = tokio::time::timeout(std::time::Duration::from_millis(20), start(&pipelines, "a-1")).await;
    assert!(dropped.is_err(), "the caller gave up");
    // The state waits for the request that is still on its way.
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
    assert_eq!(host.server.builds(JOB).len(), 1);
}

#[tokio::test]
async fn the_parameter_that_carries_the_key_must_be_a_text() {
    let host = TestHost::without_key().await;
    host.server.parameter_of(JOB, RUN, "BooleanParameterDefinition", &[]);
    assert_eq!(
        refusal(start(&host.pipelines(), "a-1").await),
        "the parameter `WARDROOM_RUN` of the job `web/cms deploy` carries the key of a run, but its kind is \
         BooleanParameterDefinition; make it a string parameter"
    );
    assert_eq!(host.server.count("POST", "/"), 0);
}
