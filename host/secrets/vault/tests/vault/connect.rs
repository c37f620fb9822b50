//! Tests of `check --connect`: one line for each login and each secret, and nothing that changes.

use serde_json::json;

use wardroom_openbao::{Bao, text};

use crate::harness::Vault;

#[tokio::test]
async fn each_login_and_each_secret_has_a_line() {
    let bao = Bao::start().await;
    bao.write("ci/jenkins", json!({ "token": "value-of-jenkins", "user": "bot" })).await;
    bao.pki(json!({})).await;
    let role = bao.approle(json!({})).await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("secret-id");
    std::fs::write(&path, bao.secret_id().await).unwrap();
    let keys = format!("approle = {{ role_id = '{role}', secret_id = {{ file = '{}' }} }}", path.display());
    let vault = Vault::of(&bao, &keys);
    let good = vault.slot("secret/ci/jenkins#token");
    for reference in [
        "secret/ci/jenkins#tokn",
        "secret/other#x",
        "pki/issue/gate?common_name=bot.example.org",
        "pki/issue/other?common_name=bot.example.org",
    ] {
        vault.slot(reference);
    }
    let before = bao.get("auth/token/accessors?list=true").await["data"]["keys"].as_array().unwrap().len();
    let lines = vault.secrets.probe().await;
    let shown: Vec<(bool, String)> = lines
        .into_iter()
        .map(|line| match line {
            Ok(line) => (true, line),
            Err(line) => (false, line),
        })
        .collect();
    let ok = |line: &str| (true, format!("vault.prod: {line}"));
    let failed = |line: &str| (false, format!("vault.prod: {line}"));
    assert_eq!(
        shown,
        [
            ok(&format!("logged in to {} with the policies ci, default", bao.url())),
            ok("`prod:pki/issue/gate?common_name=bot.example.org` is allowed; it is created when the host starts"),
            failed(
                "`prod:pki/issue/other?common_name=bot.example.org`: permission denied for `pki/issue/other`; add to a policy \
                 of the token: path \"pki/issue/other\" { capabilities = [\"update\"] }"
            ),
            ok("`prod:secret/ci/jenkins#token` can be read"),
            failed(
                "`prod:secret/ci/jenkins#tokn`: `secret/ci/jenkins` has no field `tokn`; it has the fields token, user"
            ),
            failed(
                "`prod:secret/other#x`: permission denied for `secret/data/other`; add to a policy of the token: path \
                 \"secret/data/other\" { capabilities = [\"read\"] }"
            ),
        ]
    );
    assert!(good.has_value(), "the checks of the chat accounts use the values");
    let after = bao.get("auth/token/accessors?list=true").await["data"]["keys"].as_array().unwrap().len();
    assert_eq!(after, before, "the token of the check is revoked");
    let certificates = bao.get("pki/certs?list=true").await;
    let issued: Vec<String> = certificates["data"]["keys"].as_array().unwrap().iter().map(text).collect();
    assert_eq!(issued.len(), 1, "only the authority: {issued:?}");
}

#[tokio::test]
async fn a_login_that_fails_is_one_line() {
    let bao = Bao::start().await;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("token");
    std::fs::write(&path, "s.NoTokenOfThisServer").unwrap();
    let vault = Vault::of(&bao, &format!("token = {{ file = '{}' }}", path.display()));
    vault.slot("secret/ci/jenkins#token");
    assert_eq!(
        vault.secrets.probe().await,
        [Err("vault.prod: the token is not valid: it has expired, was revoked or belongs to another server or namespace; put a \
              new token into `token`"
            .to_owned())]
    );
}
