//! Checks of grants, freezes and accounts at identity providers.

use wardroom::{
    model::Person,
    store::{Freeze, Grant, IdentityLink, Store, Write},
};

use crate::{
    helpers::{commit, verified},
    rows::at,
};

fn grant(id: &str, until: Option<i64>) -> Grant {
    Grant {
        id: id.into(),
        person: Person { id: "@bob:example.org".into(), name: "Bob".into() },
        role: "deployer".into(),
        app: "cms".into(),
        environment: until.map(|_| "production".into()),
        by: Person::named_by_id("@alice:example.org"),
        bot: "marvin".into(),
        at: at(3),
        until: until.map(at),
    }
}

pub(crate) async fn a_grant_is_kept_until_it_is_revoked(store: &dyn Store) {
    let (first, second) = (grant("7f-2", None), grant("0b-1", Some(5)));
    commit(store, vec![Write::Grant(first.clone()), Write::Grant(second.clone())]).await;
    commit(store, vec![Write::Grant(Grant { role: "admin".into(), ..first.clone() })]).await;
    assert_eq!(store.grants().await.expect("grants"), [first, second.clone()]);
    commit(store, vec![Write::Revoke("7f-2".into()), Write::Revoke("none".into())]).await;
    assert_eq!(store.grants().await.expect("grants"), [second]);
    assert_eq!(verified(store).await.links, 3, "two grants and a revocation");
}

pub(crate) async fn an_environment_has_one_freeze(store: &dyn Store) {
    let freeze = |environment: &str, until: Option<i64>| Freeze {
        environment: environment.into(),
        until: until.map(at),
        reason: "the fair".into(),
        by: Person::named_by_id("@alice:example.org"),
        at: at(1),
    };
    commit(store, vec![Write::Freeze(freeze("staging", None)), Write::Freeze(freeze("production", None))]).await;
    commit(store, vec![Write::Freeze(freeze("production", Some(9)))]).await;
    let all = store.freezes().await.expect("freezes");
    assert_eq!(all, [freeze("production", Some(9)), freeze("staging", None)]);
    commit(store, vec![Write::Unfreeze("staging".into()), Write::Unfreeze("test".into())]).await;
    assert_eq!(store.freezes().await.expect("freezes"), [freeze("production", Some(9))]);
    assert_eq!(verified(store).await.links, 4, "three freezes, and the end of one");
}

pub(crate) async fn an_account_is_replaced_by_a_later_row_of_the_same_account(store: &dyn Store) {
    let link = |person: &str, subject: &str, groups: &[&str], until: i64| IdentityLink {
        person: Person::named_by_id(person),
        provider: "corp".into(),
        issuer: "https://id.example.org".into(),
        subject: subject.into(),
        groups: groups.iter().map(|group| (*group).to_owned()).collect(),
        at: at(3),
        until: at(until),
    };
    let first = [link("@carol:a.org", "s2", &["web"], 9), link("@bob:a.org", "s1", &["sre", "web"], 9)];
    commit(store, first.into_iter().map(Write::LinkIdentity).collect()).await;
    let later = [link("@bob:a.org", "s1", &[], 3), link("@bob:a.org", "s0", &["sre"], 9)];
    commit(store, later.clone().into_iter().map(Write::LinkIdentity).collect()).await;
    let [ended, other] = later;
    let all = store.identity_links().await.expect("accounts");
    assert_eq!(all, [other, ended, link("@carol:a.org", "s2", &["web"], 9)]);
    assert_eq!(verified(store).await.links, 4);
}
