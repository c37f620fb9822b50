//! Tests of secrets with a lease: the credentials of RabbitMQ, whose management API a small server stands for.

use serde_json::json;

use wardroom_openbao::Bao;

use crate::{
    harness::{Vault, until, value},
    http,
};

async fn vault(bao: &Bao, ttl: &str, max_ttl: &str) -> (Vault, tempfile::TempDir) {
    let rabbit = http::serve(204, "");
    bao.put("sys/mounts/rabbitmq", json!({ "type": "rabbitmq" })).await;
    let connection = json!({
        "connection_uri": format!("http://{rabbit}"), "username": "a", "password": "b", "verify_connection": false,
    });
    bao.put("rabbitmq/config/connection", connection).await;
    bao.put("rabbitmq/config/lease", json!({ "ttl": ttl, "max_ttl": max_ttl })).await;
    bao.put("rabbitmq/roles/ci", json!({ "tags": "management" })).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, bao.token(json!({})).await).unwrap();
    (Vault::of(bao, &format!("token = {{ file = '{}' }}", path.display())), folder)
}

async fn leases(bao: &Bao) -> Vec<String> {
    let listed = bao.get_if_any("sys/leases/lookup/rabbitmq/creds/ci?list=true").await;
    listed["data"]["keys"].as_array().into_iter().flatten().map(wardroom_openbao::text).collect()
}

#[tokio::test]
async fn a_lease_is_renewed_and_replaced_at_its_maximum() {
    let bao = Bao::start().await;
    let (mut vault, _folder) = vault(&bao, "3", "7").await;
    let (user, password) = (vault.slot("rabbitmq/creds/ci#username"), vault.slot("rabbitmq/creds/ci#password"));
    vault.serve().await;
    let (first_user, first_password) = (value(&user), value(&password));
    assert!(!first_user.starts_with("none") && !first_password.starts_with("none"), "{first_user}");
    assert_eq!(leases(&bao).await.len(), 1, "both fields are of one lease");
    let began = std::time::Instant::now();
    until(&password, |value| value != first_password).await;
    // The lease lasts for three seconds, and is renewed until its maximum of seven.
    assert!(began.elapsed().as_secs() >= 3, "{:?}", began.elapsed());
    until(&user, |value| value != first_user).await;
    assert!(vault.health().is_ready());
    vault.stop().await;
}

#[tokio::test]
async fn a_value_ends_with_its_lease_while_the_server_is_down() {
    let mut bao = Bao::start().await;
    let (mut vault, _folder) = vault(&bao, "4", "60").await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    let (leased, stored) = (vault.slot("rabbitmq/creds/ci#password"), vault.slot("secret/ci/jenkins#token"));
    vault.serve().await;
    let first = value(&leased);
    bao.kill();
    vault.until_down("cannot be reached").await;
    assert_eq!(value(&leased), first, "the lease has not ended yet");
    let why = until(&leased, |value| value != first).await;
    assert!(why.starts_with("none: its lease has ended and it could not be replaced: http"), "{why}");
    assert!(!vault.health().is_ready());
    assert_eq!(value(&stored), "value-of-jenkins", "a value without a lease stays");
    vault.stop().await;
}

#[tokio::test]
async fn a_revoked_lease_is_replaced() {
    let bao = Bao::start().await;
    let (mut vault, _folder) = vault(&bao, "3", "60").await;
    let slot = vault.slot("rabbitmq/creds/ci#password");
    vault.serve().await;
    let first = value(&slot);
    bao.put("sys/leases/revoke-prefix/rabbitmq/creds/ci", json!({})).await;
    until(&slot, |value| value != first && !value.starts_with("none")).await;
    vault.stop().await;
}

#[tokio::test]
async fn the_leases_of_an_own_login_end_with_the_host() {
    let bao = Bao::start().await;
    let (_given, folder) = vault(&bao, "60", "600").await;
    let role = bao.approle(json!({})).await;
    let path = folder.path().join("secret-id");
    std::fs::write(&path, bao.secret_id().await).unwrap();
    let keys = format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{}' }} }}", path.display());
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("rabbitmq/creds/ci#password");
    // A check of the configuration creates no credentials.
    let lines = vault.secrets.probe().await;
    assert_eq!(
        lines.last(),
        Some(&Ok(
            "vault.prod: `prod:rabbitmq/creds/ci#password` is allowed; it is created when the host starts".to_owned()
        ))
    );
    assert_eq!(leases(&bao).await.len(), 0);
    vault.serve().await;
    assert!(slot.has_value());
    assert_eq!(leases(&bao).await.len(), 1);
    vault.stop().await;
    let until = std::time::Instant::now() + crate::harness::PATIENCE;
    while !leases(&bao).await.is_empty() {
        assert!(std::time::Instant::now() < until, "the lease is revoked with the token");
        tokio::time::sleep(std::time::Duration::from_millis(50)).await;
    }
}
