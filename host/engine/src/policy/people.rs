//! People with several ids: `[person.NAME]`.
//!
//! Invariant: an id belongs to at most one person. The first id of a person stands for the person's other ids.
//! Not here: display names (`model::Person`), which anybody can choose.

use std::collections::HashMap;

/// A `[person.NAME]` or `[machine.NAME]` table, with the ids of the person or machine account.
#[derive(Debug, Clone)]
pub(crate) struct NamedPerson {
    /// The `NAME` of the table. This name is not an id of the person or machine account.
    pub name: String,
    /// The ids of the person or machine account on all networks, at least one.
    pub ids: Vec<String>,
}

#[derive(Debug, Default)]
pub(crate) struct People {
    named: Vec<NamedPerson>,
    by_id: HashMap<String, usize>,
}

impl People {
    /// Indexes people by their ids. If two people have the same id, the id belongs to the first of them. The reader of
    /// the configuration reports such an id as a configuration problem.
    pub(crate) fn new(named: Vec<NamedPerson>) -> Self {
        let mut by_id = HashMap::new();
        for (index, person) in named.iter().enumerate() {
            for id in &person.ids {
                by_id.entry(id.clone()).or_insert(index);
            }
        }
        Self { named, by_id }
    }

    /// Returns all people, in the order of the configuration.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &NamedPerson> {
        self.named.iter()
    }

    /// Returns the first id of the person with this id, or the id itself if the configuration has no such person.
    pub(crate) fn canonical_id<'a>(&'a self, id: &'a str) -> &'a str {
        self.of(id).and_then(|person| person.ids.first()).map_or(id, String::as_str)
    }

    /// Returns all ids of the person who has the id `id`, starting with `id`. Returns only `id` if the configuration
    /// has no such person.
    pub(crate) fn ids<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.of(id).map(|person| person.ids.as_slice()).unwrap_or_default();
        std::iter::once(id).chain(others.iter().map(String::as_str).filter(move |other| *other != id))
    }

    pub(crate) fn of(&self, id: &str) -> Option<&NamedPerson> {
        self.by_id.get(id).map(|index| &self.named[*index])
    }

    pub(crate) fn named(&self, name: &str) -> Option<&NamedPerson> {
        self.named.iter().find(|person| person.name == name)
    }

    pub(crate) fn same(&self, one: &str, other: &str) -> bool {
        self.canonical_id(one) == self.canonical_id(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ids_of_a_person_are_the_same_person() {
        let ids = vec!["@bob:example.org".to_owned(), "bob2".to_owned()];
        let people = People::new(vec![NamedPerson { name: "bob".into(), ids }]);
        assert!(people.same("bob2", "@bob:example.org") && people.same("@eve:example.org", "@eve:example.org"));
        // The name in the configuration is not an id.
        assert!(!people.same("bob", "bob2") && !people.same("@Bob:example.org", "bob2"));
        assert_eq!(people.ids("bob2").collect::<Vec<_>>(), ["bob2", "@bob:example.org"]);
        assert_eq!(people.ids("eve").collect::<Vec<_>>(), ["eve"]);
        assert_eq!(people.canonical_id("bob2"), "@bob:example.org");
    }
}
