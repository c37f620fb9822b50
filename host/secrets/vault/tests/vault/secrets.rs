//! Tests of the kinds of secrets, of their fields, and of what cannot be read.

use serde_json::json;
use wardroom::base::redactor;

use wardroom_openbao::Bao;

use crate::harness::{Vault, until, value};

async fn root(bao: &Bao, keys: &str) -> (Vault, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, bao.token(json!({})).await).unwrap();
    (Vault::of(bao, &format!("token = {{ file = '{}' }}\n{keys}", path.display())), folder)
}

#[tokio::test]
async fn a_new_version_is_picked_up_and_the_old_one_stays_redacted() {
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "first-token-4711", "user": "bot", "port": 8443, "x": { "a": 1 } })).await;
    let (mut vault, _folder) = root(&bao, "").await;
    let [token, port, object] = ["token", "port", "x"].map(|field| vault.slot(&format!("secret/ci/jenkins#{field}")));
    vault.serve().await;
    assert_eq!([value(&token), value(&port), value(&object)], ["first-token-4711", "8443", "{\"a\":1}"]);
    bao.write("ci/jenkins", json!({ "token": "second-token-4711", "user": "bot" })).await;
    until(&token, |value| value == "second-token-4711").await;
    assert_eq!(redactor().redact("a first-token-4711 b second-token-4711"), "a [redacted] b [redacted]");
    // The last value of a field that is gone stays in use.
    assert_eq!(value(&port), "8443");
    let problem = vault.health().problems.into_iter().find(|problem| problem.reference.ends_with("#port")).unwrap();
    assert_eq!(problem.reason, "`secret/ci/jenkins` has no field `port`; it has the fields token, user");
    assert!(problem.has_value);
    vault.stop().await;
}

#[tokio::test]
async fn both_versions_of_the_key_value_engine_are_read() {
    let bao = Bao::start().await;
    bao.put("sys/mounts/kv1", json!({ "type": "kv", "options": { "version": "1" } })).await;
    bao.put("kv1/ci/old", json!({ "password": "value-of-version-1" })).await;
    bao.write("ci/new path/ü", json!({ "password": "value-of-version-2" })).await;
    let (mut vault, _folder) = root(&bao, "").await;
    let (old, new) = (vault.slot("kv1/ci/old#password"), vault.slot("secret/ci/new path/ü#password"));
    vault.serve().await;
    assert_eq!((&*value(&old), &*value(&new)), ("value-of-version-1", "value-of-version-2"));
    vault.stop().await;
}

#[tokio::test]
async fn a_secret_that_cannot_be_read_says_why() {
    let bao = Bao::start().await;
    bao.write("ci/deleted", json!({ "token": "x" })).await;
    bao.delete("secret/data/ci/deleted").await;
    bao.write("ci/destroyed", json!({ "token": "x" })).await;
    bao.put("secret/destroy/ci/destroyed", json!({ "versions": [1] })).await;
    bao.write("ci/empty", json!({ "token": " " })).await;
    let (mut vault, _folder) = root(&bao, "").await;
    let expected = [
        (
            "secret/ci/deleted#token",
            "the newest version (1) of `secret/ci/deleted` was deleted; write a new version, or run: vault kv undelete \
             -versions=1 secret/ci/deleted",
        ),
        (
            "secret/ci/destroyed#token",
            "the newest version (1) of `secret/ci/destroyed` was destroyed; write a new version",
        ),
        ("secret/ci/none#token", "there is no secret at `secret/ci/none`; check the path"),
        ("secret/ci/empty#token", "the field `token` of `secret/ci/empty` is empty"),
        ("secret/ci/empty#tokn", "`secret/ci/empty` has no field `tokn`; it has the fields token"),
        (
            "nowhere/ci/x#token",
            "permission denied for `nowhere/ci/x`: the token's policies allow nothing there, or there is no mount `nowhere/`; \
             add to a policy of the token: path \"nowhere/data/ci/x\" { capabilities = [\"read\"] } (without `data/` for a \
             key-value engine of version 1)",
        ),
    ];
    let slots: Vec<_> = expected.iter().map(|(reference, why)| (vault.slot(reference), why)).collect();
    vault.serve().await;
    for (slot, why) in slots {
        assert_eq!(value(&slot), format!("none: {why}"));
    }
    // The path of the API instead of the path of the secret.
    let policy = json!({ "policy": "path \"secret/data/*\" { capabilities = [\"read\"] }" });
    bao.put("sys/policies/acl/ci", policy).await;
    vault.stop().await;
    let (mut vault, _folder) = root(&bao, "").await;
    let slot = vault.slot("secret/data/ci/deleted#token");
    vault.serve().await;
    assert_eq!(
        value(&slot),
        "none: there is no secret at `secret/data/ci/deleted`; write secret/ci/deleted, without `data/`"
    );
    vault.stop().await;
}

#[tokio::test]
async fn a_namespace_has_its_own_secrets() {
    let bao = Bao::start().await;
    bao.put("sys/namespaces/team1", json!({})).await;
    let headers = [("X-Vault-Namespace", "team1")];
    let post = async |path: &str, body| bao.request(reqwest::Method::POST, path, &headers, Some(body)).await;
    post("sys/mounts/secret", json!({ "type": "kv", "options": { "version": "2" } })).await;
    post("secret/data/ci/jenkins", json!({ "data": { "token": "value-of-the-namespace" } })).await;
    let policy = json!({ "policy": "path \"secret/data/ci/*\" { capabilities = [\"read\"] }" });
    post("sys/policies/acl/ci", policy).await;
    let token =
        wardroom_openbao::text(&post("auth/token/create", json!({ "policies": ["ci"] })).await["auth"]["client_token"]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, token).unwrap();
    let keys = format!("namespace = '/team1/'\ntoken = {{ file = '{}' }}", path.display());
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-the-namespace");
    vault.stop().await;
}

#[tokio::test]
async fn a_certificate_is_issued_and_issued_again_before_it_ends() {
    let bao = Bao::start().await;
    bao.pki(json!({ "max_ttl": "6s", "not_before_duration": "1s" })).await;
    let (mut vault, _folder) = root(&bao, "").await;
    let identity = vault.slot("pki/issue/gate?common_name=bot.example.org&ttl=24h");
    let key = vault.slot("pki/issue/gate?common_name=bot.example.org&ttl=24h#private_key");
    let other = vault.slot("pki/issue/gate?common_name=bot.example.com");
    vault.serve().await;
    let pem = value(&identity);
    // The role shortens the lifetime without an error.
    reqwest::Identity::from_pem(pem.as_bytes()).expect("a certificate and a private key");
    assert_eq!(pem.matches("-----BEGIN CERTIFICATE-----").count(), 2, "the certificate and its authority");
    assert!(pem.contains("-----BEGIN PRIVATE KEY-----") && pem.contains(value(&key).trim()), "they belong together");
    assert_eq!(
        value(&other),
        "none: the server rejects the request for `pki/issue/gate`: common name bot.example.com not allowed by this role"
    );
    let next = until(&identity, |value| value != pem).await;
    reqwest::Identity::from_pem(next.as_bytes()).expect("a certificate and a private key");
    until(&key, |key| next.contains(key.trim())).await;
    vault.stop().await;
}

#[tokio::test]
async fn a_certificate_without_a_name_says_what_to_write() {
    let bao = Bao::start().await;
    bao.pki(json!({})).await;
    let (mut vault, _folder) = root(&bao, "").await;
    let slot = vault.slot("pki/issue/gate#certificate");
    vault.serve().await;
    assert_eq!(
        value(&slot),
        "none: `pki/issue/gate` issues certificates, so the reference needs a name; write \
         pki/issue/gate?common_name=bot.example.org"
    );
    vault.stop().await;
}
