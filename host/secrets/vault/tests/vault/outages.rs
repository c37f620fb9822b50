//! Tests of servers that are sealed, down, slow, limit the rate of requests, or are no Vault servers.

use std::time::Duration;

use serde_json::json;

use wardroom_openbao::Bao;

use crate::{
    harness::{Vault, until, value},
    http,
};

async fn vault(bao: &Bao) -> (Vault, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, bao.token(json!({})).await).unwrap();
    (Vault::of(bao, &format!("token = {{ file = '{}' }}", path.display())), folder)
}

#[tokio::test]
async fn a_sealed_server_is_named_and_read_again_after_it_is_unsealed() {
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    let (mut vault, _folder) = vault(&bao).await;
    let slot = vault.slot("secret/ci/jenkins#token");
    bao.seal().await;
    vault.serve().await;
    assert_eq!(value(&slot), format!("none: {} is sealed; unseal it", bao.url()));
    bao.unseal().await;
    until(&slot, |value| value == "first-value").await;
    // Sealed again: the value stays.
    bao.seal().await;
    vault.until_down("is sealed; unseal it").await;
    assert_eq!(value(&slot), "first-value");
    let health = vault.health();
    assert!(health.is_ready() && health.problems[0].has_value, "{health:?}");
    bao.unseal().await;
    bao.write("ci/jenkins", json!({ "token": "second-value" })).await;
    until(&slot, |value| value == "second-value").await;
    vault.until_up().await;
    assert_eq!(vault.health().problems, []);
    vault.stop().await;
}

#[tokio::test]
async fn the_host_logs_in_again_after_the_server_has_lost_its_token() {
    let mut bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    let role = bao.approle(json!({ "role_id": "role-of-the-host" })).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret-id");
    std::fs::write(&path, bao.secret_id().await).unwrap();
    let keys = format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{}' }} }}", path.display());
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "first-value");
    bao.kill();
    vault.until_down("cannot be reached").await;
    assert_eq!(value(&slot), "first-value");
    bao.restart().await;
    bao.approle(json!({ "role_id": "role-of-the-host" })).await;
    std::fs::write(&path, bao.secret_id().await).unwrap();
    bao.write("ci/jenkins", json!({ "token": "second-value" })).await;
    until(&slot, |value| value == "second-value").await;
    vault.until_up().await;
    vault.stop().await;
}

#[tokio::test]
async fn a_rate_limit_delays_the_requests() {
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-value" })).await;
    let (mut vault, _folder) = vault(&bao).await;
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    bao.put("sys/quotas/rate-limit/tests", json!({ "path": "secret/", "rate": 0.0001, "interval": "1h" })).await;
    vault.until_down("limits the rate of requests (429: request path").await;
    assert_eq!(value(&slot), "first-value");
    bao.delete("sys/quotas/rate-limit/tests").await;
    vault.until_up().await;
    vault.stop().await;
}

#[tokio::test]
async fn what_is_not_vault_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "some-token-of-nobody").unwrap();
    let page = http::serve(200, "{\"title\": \"a login page\"}");
    let standby = http::serve(473, "{}");
    let replica = http::serve(412, "{\"errors\": [\"required index state not present\"]}");
    let closed = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap()
    };
    for (address, expected) in [
        (page, format!("none: the answer of http://{page} is not that of a Vault server; check `url`")),
        (standby, format!("none: http://{standby} is a standby server (473); set `url` to the active server")),
        (
            replica,
            format!("none: http://{replica} is a replica that is behind (412: required index state not present)"),
        ),
        (closed, format!("none: http://{closed} cannot be reached")),
    ] {
        let table = format!("[vault.prod]\nurl = 'http://{address}'\ntoken = {{ file = '{}' }}", path.display());
        let mut vault = Vault::read(&table);
        let slot = vault.slot("secret/ci/jenkins#token");
        vault.serve().await;
        assert!(value(&slot).starts_with(&expected), "{}", value(&slot));
        vault.stop().await;
    }
    // A token that a header cannot contain.
    std::fs::write(&path, "two\nlines").unwrap();
    let table = format!("[vault.prod]\nurl = 'http://{page}'\ntoken = {{ file = '{}' }}", path.display());
    let mut vault = Vault::read(&table);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "none: the token contains characters that an HTTP header cannot contain");
    vault.stop().await;
}

#[tokio::test]
async fn a_server_that_does_not_answer_holds_nobody_up() {
    // Accepts connections and never answers.
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "some-token-of-nobody").unwrap();
    let keys = format!("url = 'http://{address}'\ntimeout = '300ms'\ntoken = {{ file = '{}' }}", path.display());
    let mut vault = Vault::read(&format!("[vault.prod]\n{keys}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    assert_eq!(value(&slot), "none: the value is not fetched yet");
    tokio::time::timeout(Duration::from_secs(30), vault.serve()).await.unwrap();
    assert_eq!(value(&slot), format!("none: http://{address} did not answer within 300 ms"));
    vault.stop().await;
    drop(listener);
}

#[tokio::test]
async fn a_server_without_a_referenced_secret_is_not_connected() {
    let table = "[vault.prod]\nurl = 'http://127.0.0.1:9'\ntoken = { file = '/nowhere' }";
    let mut vault = Vault::read(table);
    vault.serve().await;
    assert_eq!(vault.secrets.health(), []);
    vault.stop().await;
}
