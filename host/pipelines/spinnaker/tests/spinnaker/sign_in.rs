//! Tests of tokens and passwords.

use wardroom::{
    adapter::{PipelinesFactory, RunState},
    base::Table,
    model::Outcome,
};
use wardroom_spinnaker::SpinnakerFactory;

use crate::harness::{Settings, TOKEN, TestHost, follow, line_with, outage, refusal, start, state, within};

fn with_password() -> Settings {
    let system = "user = 'bot'\npassword = { file = 'token' }\ntimeout = '1s'".to_owned();
    Settings { system, ..Settings::default() }
}

#[tokio::test]
async fn a_user_signs_in_with_a_password() {
    let host = TestHost::new().await;
    host.server.revoke(TOKEN);
    host.server.password("bot", TOKEN);
    let pipelines = host.with(with_password());
    start(&pipelines, "a-1").await.unwrap();
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Running);
}

#[tokio::test]
async fn a_rejected_secret_is_not_sent_again() {
    let token = "Gate does not accept the token (401); put a valid access token into the secret";
    let password =
        "Gate does not accept the user `bot` with its password (401); put the valid password into the secret";
    for (settings, message) in [(Settings::default(), token), (with_password(), password)] {
        let host = TestHost::new().await;
        host.server.revoke(TOKEN);
        let pipelines = host.with(settings);
        assert_eq!(refusal(start(&pipelines, "a-1").await), message);
        assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
        for at in 0..20 {
            assert_eq!(refusal(start(&pipelines, &format!("b-{at}")).await), message);
        }
        assert_eq!(host.server.requests().len(), 1, "repeated failures can lock an account");
    }
}

#[tokio::test]
async fn a_redirect_to_the_login_is_a_rejected_secret() {
    let host = TestHost::new().await;
    host.server.revoke(TOKEN);
    host.server.faults(|faults| faults.redirects_wrong_secrets = true);
    let pipelines = host.with(with_password());
    for at in 0..5 {
        let message = refusal(start(&pipelines, &format!("a-{at}")).await);
        assert!(
            message.contains("to a login page instead of being answered; check the user and the secret"),
            "{message}"
        );
        assert!(!message.contains("secret-state"), "{message}");
    }
    assert_eq!(host.server.requests().len(), 1);
}

#[tokio::test]
async fn a_rotated_token_is_read_again() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "execution 01J").await;
    // First the token is revoked, and only then the secret is replaced.
    host.server.revoke(TOKEN);
    let line = line_with(&mut lines, "does not accept the token").await;
    assert!(!line.contains(TOKEN), "{line}");
    host.server.token("token-of-tomorrow");
    std::fs::write(host.path("token"), "token-of-tomorrow\n").unwrap();
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_token_that_was_replaced_before_starts_an_execution_at_once() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    host.server.token("token-of-tomorrow");
    std::fs::write(host.path("token"), "token-of-tomorrow").unwrap();
    start(&pipelines, "a-2").await.unwrap();
    assert_eq!(host.server.executions().len(), 2);
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_is_named() {
    let host = TestHost::new().await;
    std::fs::remove_file(host.path("token")).unwrap();
    let reason = outage(start(&host.pipelines(), "a-1").await);
    assert!(reason.starts_with("cannot read the token for Gate: the secret file `"), "{reason}");
    assert_eq!(host.server.requests(), []);
}

#[tokio::test]
async fn no_secret_is_written_to_a_file_or_a_message() {
    let host = TestHost::new().await;
    let pipelines = host.pipelines();
    start(&pipelines, "a-1").await.unwrap();
    host.server.revoke(TOKEN);
    let message = refusal(start(&pipelines, "a-2").await);
    assert!(!message.contains(TOKEN), "{message}");
    let mut files = 0;
    for entry in std::fs::read_dir(host.path("state/spinnaker/cd")).unwrap() {
        let path = entry.unwrap().path();
        let text = std::fs::read_to_string(&path).unwrap();
        assert!(!text.contains(TOKEN), "{text}");
        files += usize::from(path.extension().is_some_and(|extension| extension == "json"));
    }
    assert_eq!(files, 2);
    assert!(host.server.requests().iter().all(|(_, path)| !path.contains(TOKEN)), "the token is sent in a header only");
}

#[test]
fn reading_the_configuration_reads_no_secret() {
    let factory = SpinnakerFactory::new("/nowhere".into());
    let text = "url = 'https://gate.example.org'\ntoken = { env = 'WARDROOM_TEST_NOT_SET' }";
    let (mut table, problems) = Table::parse("pipelines.cd", text, factory.system_keys(), "/");
    let builder = factory.system(Some(&mut table)).unwrap();
    table.finish();
    assert_eq!(problems.count(), 0);
    let _ = builder.build();
}
