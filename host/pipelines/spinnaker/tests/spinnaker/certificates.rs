//! Tests of the sign-in with a client certificate, over TLS.

use std::time::{Duration, SystemTime};

use wardroom::{adapter::RunState, model::Outcome};
use wardroom_fake_gate::{Authority, Issued, Server};

use crate::harness::{Settings, TestHost, follow, line_with, outage, refusal, start, state, within};

const HOUR: Duration = Duration::from_secs(3600);

fn client(authority: &Authority, name: &str) -> Issued {
    let now = SystemTime::now();
    authority.client(name, now - HOUR, now + HOUR).unwrap()
}

fn store(host: &TestHost, issued: &Issued) {
    std::fs::write(host.path("client.pem"), &issued.certificate).unwrap();
    std::fs::write(host.path("client.key"), &issued.key).unwrap();
    std::fs::write(host.path("bundle.pem"), format!("{}{}", issued.key, issued.certificate)).unwrap();
}

/// Starts a server with TLS, and a host that has a certificate for it.
async fn new() -> (TestHost, Authority) {
    let authority = Authority::new().unwrap();
    let host = TestHost::on(Server::start_tls(&authority).await.unwrap());
    std::fs::write(host.path("ca.pem"), &authority.certificate).unwrap();
    store(&host, &client(&authority, "wardroom"));
    (host, authority)
}

fn with_pair() -> Settings {
    let keys = "certificate = { file = 'client.pem' }\nkey = { file = 'client.key' }";
    Settings { system: format!("{keys}\nca = 'ca.pem'\ntimeout = '2s'"), ..Settings::default() }
}

#[tokio::test]
async fn a_certificate_signs_in() {
    let (host, _authority) = new().await;
    let bundle = "identity = { file = 'bundle.pem' }\nca = 'ca.pem'\ntimeout = '2s'".to_owned();
    for (name, settings) in [("a-1", with_pair()), ("a-2", Settings { system: bundle, ..Settings::default() })] {
        let pipelines = host.with(settings);
        start(&pipelines, name).await.unwrap();
        assert_eq!(state(&pipelines, name).await.unwrap(), RunState::Running);
    }
    assert_eq!(host.server.executions().len(), 2);
}

#[tokio::test]
async fn a_renewed_certificate_is_used_without_a_restart() {
    let (host, authority) = new().await;
    let first = client(&authority, "wardroom");
    store(&host, &first);
    let pipelines = host.with(with_pair());
    start(&pipelines, "a-1").await.unwrap();
    let (end, mut lines) = follow(&pipelines, "a-1");
    line_with(&mut lines, "execution 01J").await;
    host.server.take_role(&first);
    let line = line_with(&mut lines, "does not accept").await;
    assert_eq!(
        line,
        "Gate does not accept the client certificate (401); check that Gate trusts its issuer, that `url` has Gate's port \
         for certificates (`default.apiPort`), and that the certificate has a role of `x509.required-roles`; retrying"
    );
    store(&host, &client(&authority, "wardroom"));
    host.server.end_all("SUCCEEDED");
    assert_eq!(within(end).await.unwrap().unwrap().outcome, Outcome::Succeeded);
}

#[tokio::test]
async fn a_certificate_that_is_not_valid_now_is_named_before_the_request() {
    let (host, authority) = new().await;
    let now = SystemTime::now();
    for (name, from, until, expected) in [
        ("a-1", now - 2 * HOUR, now - HOUR, "expired at "),
        ("a-2", now + HOUR, now + 2 * HOUR, "is not valid before "),
    ] {
        store(&host, &authority.client("wardroom", from, until).unwrap());
        let pipelines = host.with(with_pair());
        let reason = outage(start(&pipelines, name).await);
        assert!(reason.starts_with("the client certificate in { file = \""), "{reason}");
        assert!(reason.contains(expected) && reason.contains(" UTC; "), "{reason}");
        assert_eq!(state(&pipelines, name).await.unwrap(), RunState::Absent);
        // The host continues as soon as the certificate is replaced.
        store(&host, &client(&authority, "wardroom"));
        start(&pipelines, &format!("{name}-again")).await.unwrap();
    }
    assert_eq!(host.server.count("POST", "/"), 2);
}

#[tokio::test]
async fn a_certificate_of_another_authority_is_an_outage() {
    let (host, _authority) = new().await;
    store(&host, &client(&Authority::new().unwrap(), "wardroom"));
    let pipelines = host.with(with_pair());
    let reason = outage(start(&pipelines, "a-1").await);
    assert!(reason.starts_with("Spinnaker at https://127.0.0.1:"), "{reason}");
    assert_eq!(host.server.requests(), []);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_named() {
    let (host, authority) = new().await;
    std::fs::write(host.path("client.key"), &client(&authority, "other").key).unwrap();
    let reason = outage(start(&host.with(with_pair()), "a-1").await);
    assert!(reason.contains("cannot be"), "{reason}");
    assert_eq!(host.server.requests(), []);
}

#[tokio::test]
async fn a_certificate_without_a_role_starts_nothing() {
    let (host, authority) = new().await;
    let issued = client(&authority, "wardroom");
    store(&host, &issued);
    host.server.take_role(&issued);
    let pipelines = host.with(with_pair());
    let message = refusal(start(&pipelines, "a-1").await);
    assert!(message.starts_with("Gate does not accept the client certificate (401); "), "{message}");
    assert_eq!(state(&pipelines, "a-1").await.unwrap(), RunState::Absent);
}
