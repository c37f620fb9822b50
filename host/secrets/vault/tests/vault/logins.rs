//! Tests of each kind of login.

use std::fs;

use base64::{Engine as _, prelude::BASE64_URL_SAFE_NO_PAD};
use serde_json::json;
use wardroom_openbao::{Bao, text};

use crate::{
    harness::{Vault, file, until, value},
    http,
};

#[tokio::test]
async fn a_wrong_secret_id_is_named_and_tried_again() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    let role = bao.approle(json!({})).await;
    let path = file(folder.path(), "secret-id", "no-secret-id-of-the-role");
    let mut vault = Vault::of(&bao, &format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{path}' }} }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    let why = format!(
        "none: {} refuses the login at `auth/approle/login` (invalid role or secret ID); check the role id or the secret id",
        bao.url()
    );
    assert_eq!(value(&slot), why);
    assert!(!vault.health().is_ready());
    fs::write(&path, bao.secret_id().await).unwrap();
    until(&slot, |value| value == "value-of-jenkins").await;
    vault.stop().await;
}

#[tokio::test]
async fn a_wrapped_secret_id_is_unwrapped_once() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    let role = bao.approle(json!({})).await;
    let wrapping = bao.wrapped("auth/approle/role/host/secret-id").await;
    let path = file(folder.path(), "wrapped", &wrapping);
    let keys = format!("approle = {{ role_id = '{role}', wrapped_secret_id = {{ file = '{path}' }} }}");
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("secret/ci/jenkins#token");
    // `check --connect` leaves the wrapping token unused.
    let expected = "vault.prod: the wrapping token is valid; it can be used only once, so the login and the secrets are not checked";
    assert_eq!(vault.secrets.probe().await, [Ok(expected.to_owned())]);
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-jenkins");
    // The host still has the secret id when its token is gone.
    for accessor in bao.logins("auth/approle/login").await {
        bao.put("auth/token/revoke-accessor", json!({ "accessor": accessor })).await;
    }
    bao.write("ci/jenkins", json!({ "token": "second-value" })).await;
    until(&slot, |value| value == "second-value").await;
    vault.stop().await;
    // Another host, or the same one after a restart.
    let mut again = Vault::of(&bao, &keys);
    let slot = again.slot("secret/ci/jenkins#token");
    again.serve().await;
    assert_eq!(
        value(&slot),
        "none: the wrapping token `wrapped_secret_id` was already used or has expired; if it was not this host that used it, \
         somebody may have intercepted it: revoke the secret ids of the role, and deliver a new wrapping token"
    );
    again.stop().await;
}

#[tokio::test]
async fn a_wrapping_token_of_something_else_is_not_unwrapped() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    let role = bao.approle(json!({})).await;
    let wrapping = bao.wrapped("sys/wrapping/wrap").await;
    let path = file(folder.path(), "wrapped", &wrapping);
    let keys = format!("approle = {{ role_id = '{role}', wrapped_secret_id = {{ file = '{path}' }} }}");
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(
        value(&slot),
        "none: the wrapping token was made at `sys/wrapping/wrap` and not at `auth/approle/role/ROLE/secret-id`, so somebody \
         may have replaced it; revoke the secret ids of the role, and deliver a new wrapping token"
    );
    vault.stop().await;
    let body = json!({ "token": wrapping });
    let looked_up = bao.put("sys/wrapping/lookup", body).await;
    assert_eq!(looked_up["data"]["creation_path"], "sys/wrapping/wrap", "it is still unused");
}

#[tokio::test]
async fn a_client_certificate_logs_in_over_tls() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start_with_tls().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    let authority = bao.pki(json!({ "max_ttl": "1h" })).await;
    bao.put("sys/auth/cert", json!({ "type": "cert" })).await;
    bao.put("auth/cert/certs/host", json!({ "certificate": authority, "token_policies": "ci" })).await;
    let issued = bao.put("pki/issue/gate", json!({ "common_name": "host.example.org" })).await;
    let cert = file(folder.path(), "cert.pem", &text(&issued["data"]["certificate"]));
    let key = file(folder.path(), "key.pem", &text(&issued["data"]["private_key"]));
    let mut vault = Vault::of(&bao, &format!("cert = {{ cert = '{cert}', key = '{key}', role = 'host' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-jenkins");
    vault.stop().await;
    // Without the authority's certificate, the server is not trusted.
    let token = file(folder.path(), "token", &bao.token(json!({})).await);
    let mut vault = Vault::read(&format!("[vault.prod]\nurl = '{}'\ntoken = {{ file = '{token}' }}", bao.url()));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert!(value(&slot).contains("cannot be reached"), "{}", value(&slot));
    vault.stop().await;
    fs::remove_file(&cert).unwrap();
    let mut vault = Vault::of(&bao, &format!("cert = {{ cert = '{cert}', key = '{key}' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert!(value(&slot).starts_with(&format!("none: the file `{cert}` cannot be read")), "{}", value(&slot));
    vault.stop().await;
}

#[tokio::test]
async fn a_service_account_of_kubernetes_logs_in() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins" })).await;
    // The server asks Kubernetes whether the token is valid.
    let kubernetes = http::serve(
        201,
        r#"{"apiVersion":"authentication.k8s.io/v1","kind":"TokenReview","status":{"authenticated":true,"user":{"username":"system:serviceaccount:ops:wardroom","uid":"u1"}}}"#,
    );
    let authority = bao.pki(json!({})).await;
    bao.put("sys/auth/kubernetes", json!({ "type": "kubernetes" })).await;
    let host = format!("http://{kubernetes}");
    let config = json!({ "kubernetes_host": host, "disable_local_ca_jwt": true, "kubernetes_ca_cert": authority });
    bao.put("auth/kubernetes/config", config).await;
    let role = json!({
        "bound_service_account_names": "wardroom", "bound_service_account_namespaces": "ops", "token_policies": "ci",
    });
    bao.put("auth/kubernetes/role/host", role).await;
    let part = |value: serde_json::Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let claims = json!({
        "iss": "kubernetes/serviceaccount", "sub": "system:serviceaccount:ops:wardroom", "exp": 4_000_000_000_u64, "iat": 1_700_000_000, "nbf": 1_700_000_000,
        "kubernetes.io": { "namespace": "ops", "serviceaccount": { "name": "wardroom", "uid": "u1" } },
    });
    let signature = BASE64_URL_SAFE_NO_PAD.encode([7; 256]);
    let jwt = format!("{}.{}.{signature}", part(json!({ "alg": "RS256", "typ": "JWT" })), part(claims));
    let path = file(folder.path(), "jwt", &jwt);
    let mut vault = Vault::of(&bao, &format!("kubernetes = {{ role = 'host', token_file = '{path}' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert_eq!(value(&slot), "value-of-jenkins");
    vault.stop().await;
    let mut vault = Vault::of(&bao, &format!("kubernetes = {{ role = 'other', token_file = '{path}' }}"));
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    assert!(
        value(&slot).contains("refuses the login at `auth/kubernetes/login` (invalid role name"),
        "{}",
        value(&slot)
    );
    vault.stop().await;
}

#[tokio::test]
async fn an_auth_method_that_does_not_exist_is_named() {
    let bao = Bao::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = file(folder.path(), "id", "some-secret-id");
    let keys = format!("approle = {{ role_id = 'x', mount = 'auth/team/', secret_id = {{ file = '{path}' }} }}");
    let mut vault = Vault::of(&bao, &keys);
    let slot = vault.slot("secret/ci/jenkins#token");
    vault.serve().await;
    let why = format!(
        "none: {} refuses the login at `auth/team/login` (permission denied); check the role id or the secret id, and that \
         the auth method exists",
        bao.url()
    );
    assert_eq!(value(&slot), why);
    vault.stop().await;
}

#[tokio::test]
async fn a_reference_that_is_forgotten_is_not_fetched() {
    let folder = tempfile::tempdir().unwrap();
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins", "user": "bot" })).await;
    let path = file(folder.path(), "token", &bao.token(json!({})).await);
    let mut vault = Vault::of(&bao, &format!("token = {{ file = '{path}' }}"));
    let [token, user, other] =
        ["secret/ci/jenkins#token", "secret/ci/jenkins#user", "secret/ci/none#x"].map(|r| vault.slot(r));
    vault.secrets.forget(&user);
    vault.secrets.forget(&other);
    vault.serve().await;
    assert_eq!(value(&token), "value-of-jenkins");
    assert!(!user.has_value() && !other.has_value());
    assert_eq!((vault.health().current, vault.health().problems), (1, Vec::new()));
    vault.stop().await;
}
