//! The device flow, discovery and outages.

use std::{fs, time::Duration};

use wardroom_fake_oidc::SECRET;

use crate::harness::{World, account, refused};

#[tokio::test]
async fn a_person_logs_in_with_a_code() {
    let world = World::new().await;
    let login = world.provider.begin().await.unwrap();
    assert_eq!(login.url, format!("{}/activate", world.server.issuer()));
    assert_eq!((login.code.as_str(), login.expires), ("WDJB-0000", Duration::from_secs(600)));
    assert!(!format!("{login:?}").contains("WDJB"), "{login:?}");
    // The person logs in after some polls.
    let (code, server) = (login.code.clone(), &world.server);
    let person = async {
        while server.requests("token") < 3 {
            tokio::task::yield_now().await;
        }
        assert!(server.log_in(&code, "subject-1", &["team-sre", "team-web"]));
    };
    let (end, ()) = tokio::join!(login.end, person);
    assert_eq!(end, account());
    // The discovery document and the keys are cached.
    assert_eq!(world.log_in(|_| {}).await, account());
    assert_eq!((world.server.requests("discovery"), world.server.requests("keys")), (1, 1));
}

#[tokio::test]
async fn a_client_sends_its_secret_in_the_header() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("secret");
    fs::write(&file, SECRET).unwrap();
    let world = World::with(&format!("client_secret = {{ file = '{}' }}", file.display())).await;
    world.server.set(|behaviour| behaviour.confidential = true);
    assert_eq!(world.log_in(|_| {}).await, account());
    fs::write(&file, "another secret").unwrap();
    let error = world.provider.begin().await.unwrap_err();
    assert!(error.ends_with("refused the login: `invalid_client`; check `client_id` and `client_secret`"), "{error}");
}

#[tokio::test]
async fn slow_down_makes_the_polls_slower() {
    let world = World::new().await;
    let began = tokio::time::Instant::now();
    assert_eq!(world.log_in(|behaviour| behaviour.slow_downs = 2).await, account());
    // The delays are 10, 110 and 210 ms.
    assert!(began.elapsed() >= Duration::from_millis(330), "{:?}", began.elapsed());
    assert_eq!(world.server.requests("token"), 3);
}

#[tokio::test]
async fn a_login_ends_when_it_is_denied_or_its_code_expires() {
    let world = World::new().await;
    let denied = world.log_in(|behaviour| behaviour.refusal = Some("access_denied")).await;
    assert_eq!(denied, refused("the login was denied"));
    let expired = world.log_in(|behaviour| behaviour.refusal = Some("expired_token")).await;
    assert_eq!(expired, refused("the code has expired before anybody logged in with it"));
    // The provider forgot to say that the code has expired.
    world.server.set(|behaviour| (behaviour.expires_in, behaviour.refusal) = (1, None));
    let login = world.provider.begin().await.unwrap();
    assert_eq!(login.end.await, refused("the code has expired before anybody logged in with it"));
    // An unknown error ends the login.
    let refusal = world.log_in(|behaviour| behaviour.refusal = Some("unauthorized_client")).await.unwrap_err();
    assert!(refusal.ends_with("`unauthorized_client`; allow the device flow for the client"), "{refusal}");
}

#[tokio::test]
async fn an_outage_during_a_login_is_waited_out() {
    let world = World::new().await;
    let login = world.begin().await;
    world.server.set(|behaviour| behaviour.status = Some(503));
    let (server, polls) = (&world.server, world.server.requests("token"));
    let repair = async {
        while server.requests("token") < polls + 2 {
            tokio::task::yield_now().await;
        }
        server.set(|behaviour| behaviour.status = None);
    };
    let (end, ()) = tokio::join!(login.end, repair);
    assert_eq!(end, account());
    // An outage that lasts longer than the code.
    world.server.set(|behaviour| behaviour.expires_in = 1);
    let error = world.log_in(|behaviour| behaviour.status = Some(503)).await.unwrap_err();
    assert!(error.starts_with("the code has expired, and ") && error.ends_with("is unavailable (503)"), "{error}");
    let error = world.provider.begin().await.unwrap_err();
    assert!(error.ends_with("is unavailable (503)"), "{error}");
}

#[tokio::test]
async fn a_page_instead_of_an_answer_is_named() {
    let world = World::new().await;
    let page = "is not JSON; check `issuer`, and that no login page is in front of it";
    let error = world.log_in(|behaviour| behaviour.html = true).await.unwrap_err();
    assert!(error.ends_with(page), "{error}");
    let other = World::new().await;
    other.server.set(|behaviour| behaviour.html = true);
    assert!(other.provider.begin().await.unwrap_err().ends_with(page));
}

#[tokio::test]
async fn discovery_of_another_issuer_or_without_the_device_flow_is_refused() {
    let world = World::new().await;
    let other = format!("{}-other", world.server.issuer());
    world.server.set(|behaviour| behaviour.document_issuer = Some(other));
    let error = world.provider.begin().await.unwrap_err();
    assert!(error.ends_with("is of another issuer than `issuer`"), "{error}");
    world.server.set(|behaviour| (behaviour.document_issuer, behaviour.device_flow) = (None, false));
    let error = world.provider.begin().await.unwrap_err();
    assert!(error.contains("does not support the device flow"), "{error}");
    // A failure is not cached.
    world.server.set(|behaviour| behaviour.device_flow = true);
    assert_eq!(world.log_in(|_| {}).await, account());
}

#[tokio::test]
async fn a_probe_reads_the_document_and_the_keys() {
    let world = World::new().await;
    assert_eq!(world.provider.probe().await, Ok("identity.corp: the device flow is available, keys: 3".to_owned()));
    let down = World::new().await;
    down.server.set(|behaviour| behaviour.status = Some(503));
    let error = down.provider.probe().await.unwrap_err();
    assert!(
        error.starts_with("identity.corp: http://127.0.0.1:") && error.ends_with("is unavailable (503)"),
        "{error}"
    );
    assert_eq!(down.server.requests("device"), 0);
}
