//! The tables `[identity.NAME]`: defaults and problems.

use std::time::Duration;

use crate::harness::read;

fn problems(keys: &str) -> Vec<(String, String)> {
    read(&format!("[identity.corp]\nissuer = 'https://id.example.org'\nclient_id = 'wardroom'\n{keys}")).1
}

fn problem(message: &str, fix: &str) -> Vec<(String, String)> {
    vec![(message.to_owned(), fix.to_owned())]
}

#[test]
fn a_table_has_defaults() {
    let (provider, problems) = read("[identity.corp]\nissuer = 'https://id.example.org/'\nclient_id = 'wardroom'");
    assert_eq!(problems, []);
    let provider = provider.unwrap();
    assert_eq!((provider.issuer(), provider.keep()), ("https://id.example.org", Duration::from_secs(24 * 3600)));
}

#[test]
fn invalid_keys_are_problems() {
    assert_eq!(
        problems("scopes = ['openid groups']"),
        problem("`identity.corp.scopes` has an entry that is not one scope", "scopes = [\"openid\", \"groups\"]")
    );
    assert_eq!(
        problems("groups_claim = ''"),
        problem("`identity.corp.groups_claim` is empty", "groups_claim = \"groups\"")
    );
    assert!(problems("keep = '8d'")[0].0.contains("identity.corp.keep"), "{:?}", problems("keep = '8d'"));
    assert!(problems("client_secret = 'plain'")[0].0.contains("must be a reference to a secret"));
    let (provider, problems) = read(
        "[identity.corp]\nissuer = 'https://id.example.org/.well-known/openid-configuration'\nclient_id = 'wardroom'",
    );
    assert!(provider.is_none());
    assert_eq!(
        problems,
        problem(
            "`identity.corp.issuer` is the URL of the discovery document; write the issuer itself",
            "issuer = \"https://id.example.org/realms/corp\""
        )
    );
}
