//! People's accounts at identity providers: an in-memory copy of the links in the store, and the groups that they give.
//!
//! Invariant: the copy changes only after the transaction that changes the store is committed.
//! Invariant: an ended link gives no group, but still shows that two ids belong to one person.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;
use parking_lot::RwLock;

use super::people::People;
use crate::store::IdentityLink;

/// A `[group.NAME]` whose members are the people with a group at an identity provider.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ClaimGroup {
    /// The name of the provider in `[identity.NAME]`.
    pub provider: String,
    /// The issuer that the provider has now. A link of another issuer gives no group.
    pub issuer: String,
    /// How long a link counts. A link that was made when the time was longer ends earlier.
    pub keep: Duration,
    /// The name of the group in the ID token.
    pub claim: String,
}

impl ClaimGroup {
    fn counts(&self, link: &IdentityLink, now: Timestamp) -> bool {
        let kept = link.at.checked_add(self.keep).is_ok_and(|end| now < end);
        kept && now < link.until
            && link.provider == self.provider
            && link.issuer == self.issuer
            && link.groups.contains(&self.claim)
    }
}

/// The groups of identity providers, and the accounts that people have proved.
#[derive(Debug, Default)]
pub(crate) struct IdentityLinks {
    groups: BTreeMap<String, ClaimGroup>,
    links: RwLock<Links>,
}

#[derive(Debug, Default)]
struct Links {
    by_person: HashMap<String, Vec<Arc<IdentityLink>>>,
    /// The ids that have proved an account, by issuer and subject.
    by_account: HashMap<(String, String), BTreeSet<String>>,
}

impl IdentityLinks {
    pub(crate) fn new(groups: BTreeMap<String, ClaimGroup>) -> Self {
        Self { groups, links: RwLock::default() }
    }

    /// Returns a group of an identity provider; `None` if the members of the group are listed elsewhere.
    pub(crate) fn group(&self, name: &str) -> Option<&ClaimGroup> {
        self.groups.get(name)
    }

    /// Returns the groups of the configuration that a provider gives, with their names.
    pub(crate) fn groups_of<'a>(&'a self, provider: &'a str) -> impl Iterator<Item = (&'a str, &'a ClaimGroup)> {
        let groups = self.groups.iter().filter(move |(_, group)| group.provider == provider);
        groups.map(|(name, group)| (name.as_str(), group))
    }

    /// Returns the names of the groups that a link gives now.
    pub(crate) fn given_by(&self, link: &IdentityLink, now: Timestamp) -> Vec<&str> {
        let given = self.groups.iter().filter(|(_, group)| group.counts(link, now));
        given.map(|(name, _)| name.as_str()).collect()
    }

    /// Returns whether one of these ids has a link that gives a group now.
    pub(crate) fn has<'a>(&self, group: &ClaimGroup, mut ids: impl Iterator<Item = &'a str>, now: Timestamp) -> bool {
        let links = self.links.read();
        ids.any(|id| links.by_person.get(id).is_some_and(|all| all.iter().any(|link| group.counts(link, now))))
    }

    /// Returns the ids that have a link that gives a group now.
    pub(crate) fn members(&self, group: &ClaimGroup, now: Timestamp) -> HashSet<String> {
        let links = self.links.read();
        let members = links.by_person.iter().filter(|(_, all)| all.iter().any(|link| group.counts(link, now)));
        members.map(|(id, _)| id.clone()).collect()
    }

    /// Returns all links of a person, also those that have ended.
    pub(crate) fn of(&self, person: &str) -> Vec<Arc<IdentityLink>> {
        self.links.read().by_person.get(person).cloned().unwrap_or_default()
    }

    /// Adds a link, or replaces the link of the same account.
    pub(crate) fn apply(&self, link: IdentityLink) {
        let mut links = self.links.write();
        let account = (link.issuer.clone(), link.subject.clone());
        links.by_account.entry(account).or_default().insert(link.person.id.clone());
        let all = links.by_person.entry(link.person.id.clone()).or_default();
        all.retain(|known| known.key() != link.key());
        all.push(Arc::new(link));
    }

    /// Returns whether two ids belong to one person: a `[person.NAME]` has both, or both have proved the same account,
    /// also with further ids between them.
    pub(crate) fn same(&self, people: &People, one: &str, other: &str) -> bool {
        if people.same(one, other) {
            return true;
        }
        let links = self.links.read();
        let mut seen: BTreeSet<&str> = people.ids(one).collect();
        let mut open: Vec<&str> = seen.iter().copied().collect();
        while let Some(id) = open.pop() {
            if people.same(id, other) {
                return true;
            }
            for link in links.by_person.get(id).into_iter().flatten() {
                let account = (link.issuer.clone(), link.subject.clone());
                let ids = links.by_account.get(&account).into_iter().flatten();
                for next in ids.flat_map(|id| people.ids(id)) {
                    if seen.insert(next) {
                        open.push(next);
                    }
                }
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{model::Person, policy::NamedPerson};

    const NOW: Timestamp = Timestamp::UNIX_EPOCH;
    const HOUR: Duration = Duration::from_secs(3600);

    fn sre() -> ClaimGroup {
        let keep = 24 * HOUR;
        ClaimGroup { provider: "corp".into(), issuer: "https://idp".into(), keep, claim: "team-sre".into() }
    }

    fn links() -> IdentityLinks {
        IdentityLinks::new(BTreeMap::from([("sre".to_owned(), sre())]))
    }

    fn link(person: &str, subject: &str) -> IdentityLink {
        IdentityLink {
            person: Person::named_by_id(person),
            provider: "corp".into(),
            issuer: "https://idp".into(),
            subject: subject.into(),
            groups: vec!["team-sre".into()],
            at: NOW,
            until: NOW + 24 * HOUR,
        }
    }

    #[test]
    fn a_link_gives_its_group_until_it_ends() {
        let links = links();
        links.apply(link("bob", "s1"));
        let has = |now| links.has(&sre(), ["bob"].into_iter(), now);
        assert!(has(NOW) && has(NOW + 24 * HOUR - Duration::from_nanos(1)));
        assert!(!has(NOW + 24 * HOUR));
        assert_eq!(links.members(&sre(), NOW), HashSet::from(["bob".to_owned()]));
        assert!(links.members(&sre(), NOW + 24 * HOUR).is_empty());
        // A shorter `keep` applies to the links that exist.
        let shorter = ClaimGroup { keep: HOUR, ..sre() };
        assert!(!links.has(&shorter, ["bob"].into_iter(), NOW + HOUR));
    }

    #[test]
    fn a_link_of_another_issuer_provider_or_group_gives_nothing() {
        for other in [
            ClaimGroup { issuer: "https://other".into(), ..sre() },
            ClaimGroup { provider: "other".into(), ..sre() },
            ClaimGroup { claim: "team".into(), ..sre() },
        ] {
            let links = links();
            links.apply(link("bob", "s1"));
            assert!(!links.has(&other, ["bob"].into_iter(), NOW), "{other:?}");
        }
    }

    #[test]
    fn an_unlinked_account_gives_no_group_and_still_shows_the_person() {
        let (links, people) = (links(), People::default());
        links.apply(link("bob", "s1"));
        links.apply(link("bob2", "s1"));
        links.apply(IdentityLink { groups: Vec::new(), until: NOW, ..link("bob2", "s1") });
        assert!(!links.has(&sre(), ["bob2"].into_iter(), NOW));
        assert_eq!(links.of("bob2").len(), 1, "the row was replaced");
        assert!(links.same(&people, "bob", "bob2") && !links.same(&people, "bob", "eve"));
    }

    #[test]
    fn ids_are_one_person_through_further_accounts_and_the_configuration() {
        let ids = vec!["carol".to_owned(), "carol2".to_owned()];
        let people = People::new(vec![NamedPerson { name: "c".into(), ids }]);
        let links = links();
        links.apply(link("bob", "s1"));
        links.apply(link("carol", "s1"));
        links.apply(link("carol2", "s2"));
        links.apply(link("dave", "s2"));
        links.apply(link("eve", "s3"));
        assert!(links.same(&people, "bob", "dave") && links.same(&people, "dave", "bob"));
        assert!(!links.same(&people, "bob", "eve") && links.same(&people, "nobody", "nobody"));
        // The same subject of another issuer is another account.
        links.apply(IdentityLink { issuer: "https://other".into(), ..link("frank", "s1") });
        assert!(!links.same(&people, "bob", "frank"));
    }
}
