//! The checks of an ID token.

use serde_json::{Value, json};
use wardroom_fake_oidc::Signing;

use crate::harness::{World, account, refused};

async fn with_claims(claims: Value) -> Result<wardroom::adapter::VerifiedAccount, String> {
    World::new().await.log_in(|behaviour| behaviour.claims = claims).await
}

#[tokio::test]
async fn each_allowed_algorithm_is_accepted() {
    let world = World::new().await;
    for signing in [Signing::Rs256, Signing::Es256, Signing::EdDsa] {
        assert_eq!(world.log_in(|behaviour| behaviour.signing = signing).await, account(), "{signing:?}");
    }
}

#[tokio::test]
async fn a_token_without_a_valid_signature_is_refused() {
    let world = World::new().await;
    let algorithm = "the ID token does not have one of the algorithms RS256, ES256 and EdDSA";
    for (signing, why) in [
        (Signing::Unsigned, algorithm),
        (Signing::HsWithPublicKey, algorithm),
        (Signing::WrongKey, "the signature of the ID token is not valid"),
    ] {
        assert_eq!(world.log_in(|behaviour| behaviour.signing = signing).await, refused(why), "{signing:?}");
    }
}

#[tokio::test]
async fn rotated_keys_are_fetched_once() {
    let world = World::new().await;
    assert_eq!(world.log_in(|_| {}).await, account());
    world.server.rotate().unwrap();
    assert_eq!(world.log_in(|_| {}).await, account());
    assert_eq!(world.log_in(|_| {}).await, account());
    assert_eq!(world.server.requests("keys"), 2);
}

#[tokio::test]
async fn a_token_for_somebody_else_is_refused() {
    assert_eq!(
        with_claims(json!({ "iss": "https://other.example.org" })).await,
        refused("the ID token is of another issuer")
    );
    assert_eq!(with_claims(json!({ "iss": null })).await, refused("the ID token is of another issuer"));
    for audience in [json!("other"), json!(["other"]), json!(null), json!(7)] {
        let ended = with_claims(json!({ "aud": audience })).await;
        assert_eq!(ended, refused("the ID token is for another client"), "{audience}");
    }
    let several = json!(["wardroom", "other"]);
    let other = "another client asked for the ID token";
    assert_eq!(with_claims(json!({ "aud": several })).await, refused(other));
    assert_eq!(with_claims(json!({ "aud": several, "azp": "other" })).await, refused(other));
    assert_eq!(with_claims(json!({ "azp": "other" })).await, refused(other));
    assert_eq!(with_claims(json!({ "aud": several, "azp": "wardroom" })).await, account());
}

#[tokio::test]
async fn clocks_may_differ_by_a_minute() {
    let world = World::new().await;
    for skew in [-50, 50] {
        assert_eq!(world.log_in(|behaviour| behaviour.skew = skew).await, account(), "{skew}");
    }
    // A token that has just expired by the host's clock.
    let expired = |behaviour: &mut wardroom_fake_oidc::Behaviour, skew| {
        (behaviour.skew, behaviour.lifetime) = (skew, 1);
    };
    assert_eq!(world.log_in(|behaviour| expired(behaviour, -50)).await, account());
    assert_eq!(
        world.log_in(|behaviour| expired(behaviour, -70)).await,
        refused("the ID token has expired; check the clocks of the host and of the provider")
    );
    world.server.set(|behaviour| behaviour.lifetime = 300);
    assert_eq!(
        world.log_in(|behaviour| behaviour.skew = 90).await,
        refused("the ID token is from the future; check the clocks of the host and of the provider")
    );
    assert_eq!(world.log_in(|behaviour| behaviour.skew = -90).await, refused("the ID token is older than the login"));
}

#[tokio::test]
async fn a_token_without_its_claims_is_refused() {
    for (claims, why) in [
        (json!({ "exp": null }), "the ID token has no valid `exp`"),
        (json!({ "exp": "soon" }), "the ID token has no valid `exp`"),
        (json!({ "iat": null }), "the ID token has no valid `iat`"),
        (
            json!({ "nbf": 99_999_999_999_i64 }),
            "the ID token is not valid yet; check the clocks of the host and of the provider",
        ),
        (json!({ "sub": null }), "the ID token has no valid `sub`"),
        (json!({ "sub": "" }), "the ID token has no valid `sub`"),
        (json!({ "sub": "two\nlines" }), "the ID token has no valid `sub`"),
        (json!({ "sub": "x".repeat(256) }), "the ID token has no valid `sub`"),
    ] {
        assert_eq!(with_claims(claims.clone()).await, refused(why), "{claims}");
    }
}

#[tokio::test]
async fn groups_are_a_list_a_text_or_none() {
    for (groups, expected) in [
        (json!("team-sre"), vec!["team-sre"]),
        (json!(["team-sre", 7]), vec!["team-sre"]),
        (json!(null), vec![]),
        (json!({ "team-sre": true }), vec![]),
    ] {
        assert_eq!(with_claims(json!({ "groups": groups })).await.unwrap().groups, expected, "{groups}");
    }
    let world = World::with("groups_claim = '/realm_access/roles'").await;
    assert_eq!(world.log_in(|behaviour| behaviour.claims = json!({ "groups": null })).await, account());
}
