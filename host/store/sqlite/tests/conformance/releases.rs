//! Checks of releases: the records of deployments that ended.

use wardroom::{
    model::Outcome,
    store::{ReleaseQuery, Store, Write},
};

use crate::{helpers::commit, rows::release};

pub(crate) async fn a_run_has_one_release(store: &dyn Store) {
    let first = release("7f-4", "cms", "staging", 5, Outcome::Succeeded);
    let second = release("7f-4", "cms", "production", 6, Outcome::Failed);
    commit(store, vec![Write::Release(first.clone()), Write::Release(second.clone())]).await;
    commit(store, vec![Write::Release(second)]).await;
    assert_eq!(store.releases(&ReleaseQuery::default()).await.expect("releases"), [first]);
}

pub(crate) async fn releases_are_sorted_newest_first(store: &dyn Store) {
    let rows = [
        release("a-1", "cms", "staging", 5, Outcome::Succeeded),
        release("a-2", "cms", "staging", 9, Outcome::Failed),
        release("a-3", "cms", "staging", 5, Outcome::Unknown),
        release("a-4", "cms", "staging", 7, Outcome::Cancelled),
    ];
    commit(store, rows.iter().cloned().map(Write::Release).collect()).await;
    let [first, second, third, fourth] = rows;
    let newest = store.releases(&ReleaseQuery::default()).await.expect("releases");
    assert_eq!(newest, [second, fourth, third, first]);
}

pub(crate) async fn releases_are_filtered(store: &dyn Store) {
    let cms = release("a-1", "cms", "staging", 1, Outcome::Succeeded);
    let live = release("a-2", "cms", "production", 2, Outcome::Failed);
    let shop = release("a-3", "shop", "staging", 3, Outcome::Succeeded);
    commit(store, [&cms, &live, &shop].map(|row| Write::Release(row.clone())).to_vec()).await;
    let all = ReleaseQuery::default();
    for (query, rows) in [
        (ReleaseQuery { app: Some("cms".into()), ..all.clone() }, vec![live.clone(), cms.clone()]),
        (ReleaseQuery { environment: Some("staging".into()), ..all.clone() }, vec![shop.clone(), cms.clone()]),
        (ReleaseQuery { outcome: Some(Outcome::Failed), ..all.clone() }, vec![live]),
        (ReleaseQuery { app: Some("%".into()), ..all.clone() }, vec![]),
        (ReleaseQuery { version: Some("no such version".into()), ..all.clone() }, vec![]),
        (
            ReleaseQuery {
                app: Some("cms".into()),
                environment: Some("staging".into()),
                version: Some(cms.version.clone()),
                outcome: Some(Outcome::Succeeded),
                latest: false,
                limit: None,
            },
            vec![cms],
        ),
    ] {
        assert_eq!(store.releases(&query).await.expect("releases"), rows, "{query:?}");
    }
}

pub(crate) async fn the_latest_release_is_chosen_after_the_other_filters(store: &dyn Store) {
    let good = release("a-1", "cms", "staging", 1, Outcome::Succeeded);
    let same = release("a-2", "cms", "staging", 1, Outcome::Succeeded);
    let bad = release("a-3", "cms", "staging", 2, Outcome::Failed);
    let live = release("a-4", "cms", "production", 0, Outcome::Succeeded);
    let shop = release("a-5", "shop", "staging", 9, Outcome::Failed);
    commit(store, [good, same.clone(), bad.clone(), live.clone(), shop.clone()].map(Write::Release).to_vec()).await;
    let latest = ReleaseQuery { latest: true, ..ReleaseQuery::default() };
    assert_eq!(store.releases(&latest).await.expect("releases"), [shop, bad, live.clone()]);
    let good = ReleaseQuery { outcome: Some(Outcome::Succeeded), ..latest };
    assert_eq!(store.releases(&good).await.expect("releases"), [same, live]);
}

pub(crate) async fn a_limit_returns_the_newest_releases(store: &dyn Store) {
    let old = release("a-1", "cms", "staging", 1, Outcome::Succeeded);
    let new = release("a-2", "cms", "staging", 3, Outcome::Failed);
    let live = release("a-3", "cms", "production", 2, Outcome::Succeeded);
    commit(store, [&old, &new, &live].map(|row| Write::Release(row.clone())).to_vec()).await;
    let limited = |limit| ReleaseQuery { limit: Some(limit), ..ReleaseQuery::default() };
    for (query, rows) in [
        (limited(0), vec![]),
        (limited(2), vec![&new, &live]),
        (limited(u32::MAX), vec![&new, &live, &old]),
        (ReleaseQuery { environment: Some("staging".into()), ..limited(1) }, vec![&new]),
        (ReleaseQuery { outcome: Some(Outcome::Succeeded), ..limited(1) }, vec![&live]),
        // The limit counts the latest releases, and not the releases from which they are chosen.
        (ReleaseQuery { latest: true, ..limited(2) }, vec![&new, &live]),
        (ReleaseQuery { latest: true, ..limited(1) }, vec![&new]),
    ] {
        let found = store.releases(&query).await.expect("releases");
        assert_eq!(found.iter().collect::<Vec<_>>(), rows, "{query:?}");
    }
}
