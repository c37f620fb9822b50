//! Tests of credentials, crumbs and sessions.

use wardroom::{
    adapter::{PipelinesFactory, RunState},
    base::Table,
    model::Outcome,
};
use wardroom_jenkins::JenkinsFactory;

use crate::harness::{
    JOB, Settings, TOKEN, TestHost, eventually, follow, line_with, refusal, start, state, wait, within,
};

fn with_password() -> Settings {
    Settings { system: "password = { file = 'token' }\ntimeout = '1s'".to_owned(), ..Settings::default() }
}

#[tokio::test]
async fn a_token_needs_no_crumb() {
    let host = TestHost::new().await;
    start(&host.pipelines(), "a-1").await.unwrap();
    assert_eq!(host.server.count("GET", "crumbIssuer"), 0);
}

#[tokio::test]
async fn a_password_needs_a_crumb_of_its_session() {
    let host = TestHost::new().await;
    host.server.revoke(TOKEN);
    host.server.password("bot", TOKEN);
    let pipelines = host.with(with_password());
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!((host.server.count("GET", "crumbIssuer"), host.server.builds(JOB).len()), (1, 2), "the crumb is kept");
    // After a restart of Jenkins the session is unknown.
    host.server.end_sessions();
    start(&pipelines, "a-3").await.unwrap();
    assert_eq!((host.server.count("GET", "crumbIssuer"), host.server.builds(JOB).len()), (2, 3));
    host.server.end_all("SUCCESS");
    assert_eq!(wait(&pipelines, "a-3").await.0.outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_jenkins_without_crumbs_accepts_a_password() {
    let host = TestHost::new().await;
    host.server.revoke(TOKEN);
    host.server.password("bot", TOKEN);
    host.server.faults(|faults| faults.no_crumbs = true);
    let pipelines = host.with(with_password());
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!((host.server.count("GET", "crumbIssuer"), host.server.builds(JOB).len()), (1, 2));
}

#[tokio::test]
async fn a_crumb_is_requested_if_a_token_does_not_suffice() {
    let host = TestHost::new().await;
    host.server.faults(|faults| faults.always_crumb = true);
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!((host.server.count("GET", "crumbIssuer"), host.server.builds(JOB).len()), (1, 2));
}

#[tokio::test]
async fn a_rotated_token_is_read_again() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "build #1: ").await;
    // First the token is revoked, and only then the secret is replaced.
    host.server.revoke(TOKEN);
    let line = line_with(&mut lines, "does not accept the credentials").await;
    assert!(!line.contains(TOKEN), "{line}");
    host.server.token("bot", "token-of-tomorrow");
    std::fs::write(host.path("token"), "token-of-tomorrow\n").unwrap();
    host.server.end(JOB, 1, "SUCCESS");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_token_that_was_replaced_before_starts_a_build_at_once() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    host.server.token("bot", "token-of-tomorrow");
    std::fs::write(host.path("token"), "token-of-tomorrow").unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(host.server.builds(JOB).len(), 2);
}

#[tokio::test]
async fn a_rejected_token_is_not_sent_again() {
    let host = TestHost::new().await;
    host.server.revoke(TOKEN);
    let pipelines = host.pipelines();
    let message = refusal(start(&pipelines, "a-1").await);
    assert_eq!(
        message,
        "Jenkins does not accept the credentials of the user `bot` (401); put a valid API token of this user into the secret"
    );
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    for at in 0..20 {
        refusal(start(&pipelines, &format!("b-{at}")).await);
    }
    assert_eq!(host.server.requests().len(), 1, "repeated failures can lock an account");
}

#[tokio::test]
async fn no_secret_is_written_to_a_file_or_a_message() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.end(JOB, 1, "SUCCESS");
    wait(&pipelines, "a-1").await;
    host.server.revoke(TOKEN);
    let message = refusal(start(&pipelines, "a-2").await);
    assert!(!message.contains(TOKEN), "{message}");
    let mut files = 0;
    for entry in std::fs::read_dir(host.path("state/jenkins/ci")).unwrap() {
        let text = std::fs::read_to_string(entry.unwrap().path()).unwrap();
        assert!(!text.contains(TOKEN), "{text}");
        files += 1;
    }
    assert_eq!(files, 3, "two runs and the marker of the folder");
    eventually("the token is sent in a header only", || {
        host.server.requests().iter().all(|(_, path)| !path.contains(TOKEN))
    })
    .await;
}

#[tokio::test]
async fn a_certificate_that_cannot_be_read_is_named_and_read_again() {
    let host = TestHost::new().await;
    let system = "token = { file = 'token' }\nca = 'ca.pem'".to_owned();
    let pipelines = host.with(Settings { system, ..Settings::default() });
    let reason = crate::harness::outage(start(&pipelines, "a-1").await);
    assert!(reason.contains("ca.pem") && reason.contains("cannot be used"), "{reason}");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
    assert_eq!(host.server.requests(), []);
}

#[test]
fn reading_the_configuration_reads_no_secret() {
    let factory = JenkinsFactory::new("/nowhere".into());
    let text = "url = 'https://ci.example.org'\nuser = 'bot'\ntoken = { env = 'WARDROOM_TEST_NOT_SET' }";
    let (mut table, problems) = Table::parse("pipelines.ci", text, factory.system_keys(), "/");
    let builder = factory.system(Some(&mut table)).unwrap();
    table.finish();
    assert_eq!(problems.count(), 0);
    let _ = builder.build();
}
