//! Tests of the lifetime of a token: its renewal, its replacement, and what happens when it is gone or refused.

use std::{fs, sync::atomic::Ordering};

use serde_json::json;
use wardroom::base::redactor;
use wardroom_openbao::Bao;
use wardroom_vault::VaultFactory;

use crate::{
    harness::{PATIENCE, Vault, eventually, file, timing, until, value},
    http,
};

#[tokio::test]
async fn a_token_file_is_read_again_after_an_agent_has_replaced_it() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    let first = bao.token(json!({})).await;
    let path = file(folder.path(), "token", &first);
    let mut vault = Vault::of(&bao, &format!("token = {{ file = '{path}' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    assert_eq!(value(&slot), "none: the value is not fetched yet");
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-jenkins");
    assert!(vault.health().link.is_up() && vault.health().is_ready());
    bao.revoke(&first).await;
    vault
        .until_down(
            "the token is not valid: it has expired, was revoked or belongs to another server or namespace; put a new token \
             into `token`",
        )
        .await;
    assert_eq!(value(&slot), "value-of-jenkins", "the last value stays");
    let second = bao.token(json!({})).await;
    fs::write(&path, &second).unwrap();
    vault.until_up().await;
    vault.stop().await;
    assert!(bao.is_valid(&second).await, "a given token is not revoked");
}

#[tokio::test]
async fn approle_logs_in_renews_and_logs_out() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    // The maximum lifetime ends the renewals, so that the host logs in again.
    let role = bao.approle(json!({ "token_ttl": "2s", "token_max_ttl": "5s" })).await;
    let secret_id = bao.secret_id().await;
    let path = file(folder.path(), "secret-id", &secret_id);
    let mut vault = Vault::of(&bao, &format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{path}' }} }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-jenkins");
    let first = bao.logins("auth/approle/login").await;
    assert_eq!(first.len(), 1);
    // The first token lives for at most five seconds. The secret is still refreshed after that.
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(7) {
        bao.write("ci/jenkins", json!({ "token": format!("value-{:?}", began.elapsed()) })).await;
        let written = value(&slot);
        until(&slot, |value| value != written).await;
        assert!(vault.health().link.is_up(), "{:?}", vault.health());
    }
    let later = bao.logins("auth/approle/login").await;
    assert!(later.iter().any(|accessor| !first.contains(accessor)), "there is another token: {first:?} {later:?}");
    vault.stop().await;
    let left = bao.logins("auth/approle/login").await;
    assert!(left.len() < later.len(), "the newest token is revoked: {later:?} {left:?}");
    assert_eq!(redactor().redact(&secret_id), "[redacted]");
}

#[tokio::test]
async fn an_expired_token_is_told_from_a_refusal() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    bao.write("other", json!({ "token": "not-for-the-host" })).await;
    let token = bao.token(json!({})).await;
    let path = file(folder.path(), "token", &token);
    let mut vault = Vault::of(&bao, &format!("token = {{ file = '{path}' }}"));
    let (allowed, denied) = (vault.slot("secret/ci/jenkins#token"), vault.slot("secret/other#token"));
    vault.serve().await;
    assert_eq!(
        value(&denied),
        "none: permission denied for `secret/data/other`; add to a policy of the token: path \"secret/data/other\" { \
         capabilities = [\"read\"] }"
    );
    assert_eq!(value(&allowed), "value-of-jenkins");
    assert!(vault.health().link.is_up(), "a refusal is no outage");
    assert_eq!((vault.health().current, vault.health().problems.len()), (1, 1));
    let policy = json!({ "policy": "path \"secret/data/*\" { capabilities = [\"read\"] }" });
    bao.put("sys/policies/acl/ci", policy).await;
    until(&denied, |value| value == "not-for-the-host").await;
    // The value of a secret that is no longer allowed stays in use, and is reported.
    bao.put("sys/policies/acl/ci", json!({ "policy": "path \"secret/data/none\" { capabilities = [\"read\"] }" }))
        .await;
    eventually("the problems", || match vault.health() {
        health if health.problems.len() == 2 => Ok(()),
        health => Err(format!("{health:?}")),
    })
    .await;
    assert!(vault.health().is_ready());
    assert_eq!(value(&denied), "not-for-the-host");
    vault.stop().await;
}

#[tokio::test]
async fn a_wrong_token_in_the_file_does_not_replace_a_valid_one() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    let path = file(folder.path(), "token", &bao.token(json!({})).await);
    let mut vault = Vault::of(&bao, &format!("token = {{ file = '{path}' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    fs::write(&path, "s.ATokenOfNobody").unwrap();
    bao.write("ci/jenkins", json!({ "token": "second-value" })).await;
    until(&slot, |value| value == "second-value").await;
    assert!(vault.health().link.is_up(), "{:?}", vault.health());
    // Later writes of the file count again.
    fs::write(&path, bao.token(json!({})).await).unwrap();
    bao.write("ci/jenkins", json!({ "token": "third-value" })).await;
    until(&slot, |value| value == "third-value").await;
    vault.stop().await;
}

#[tokio::test]
async fn a_refused_login_is_not_sent_again_until_the_secret_changes() {
    let folder = tempfile::tempdir().unwrap();
    let (address, requests) = http::serve_counted(400, r#"{"errors":["invalid role or secret ID"]}"#);
    let path = file(folder.path(), "secret-id", "first-secret-id");
    let login = format!("approle = {{ role_id = 'r', secret_id = {{ file = '{path}' }} }}");
    let mut vault = Vault::read(&format!("[vault.prod]\nurl = 'http://{address}'\n{login}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert!(value(&slot).contains("invalid role or secret ID"), "{}", value(&slot));
    // Several looks at the file, without another login.
    tokio::time::sleep(std::time::Duration::from_millis(500)).await;
    assert_eq!(requests.load(Ordering::SeqCst), 1);
    fs::write(&path, "second-secret-id").unwrap();
    let sent = || match requests.load(Ordering::SeqCst) {
        2 => Ok(()),
        other => Err(other.to_string()),
    };
    eventually("another login", sent).await;
    vault.stop().await;
}

#[tokio::test]
async fn a_batch_token_is_replaced_before_it_ends() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    // A batch token cannot be renewed or revoked.
    let role = bao.approle(json!({ "token_type": "batch", "token_ttl": "3s" })).await;
    let path = file(folder.path(), "secret-id", &bao.secret_id().await);
    let mut vault = Vault::of(&bao, &format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{path}' }} }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    let began = std::time::Instant::now();
    while began.elapsed() < std::time::Duration::from_secs(5) {
        let written = format!("value-{:?}", began.elapsed());
        bao.write("ci/jenkins", json!({ "token": written })).await;
        until(&slot, |value| value == written).await;
        assert_eq!(vault.health().problems, []);
    }
    vault.stop().await;
}

#[tokio::test]
async fn an_expired_token_leads_to_another_login_and_another_read() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    let role = bao.approle(json!({ "token_ttl": "1s" })).await;
    let path = file(folder.path(), "secret-id", &bao.secret_id().await);
    // The token ends before the host renews it, as after a suspension of the machine.
    let mut timing = timing();
    timing.min_renewal = PATIENCE;
    let login = format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{path}' }} }}");
    let table = format!("[vault.prod]\nurl = '{}'\nrefresh = '2s'\n{login}", bao.url());
    let mut vault = Vault::read_with(VaultFactory::default().timing(timing), &table);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    let first = bao.logins("auth/approle/login").await;
    bao.write("ci/jenkins", json!({ "token": "second-value" })).await;
    until(&slot, |value| value == "second-value").await;
    let second = bao.logins("auth/approle/login").await;
    assert!(second.iter().all(|accessor| !first.contains(accessor)), "{first:?} {second:?}");
    assert!(vault.health().link.is_up() && vault.health().problems.is_empty());
    vault.stop().await;
}
