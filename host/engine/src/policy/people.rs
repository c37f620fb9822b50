//! People with several ids: `[person.NAME]`.
//!
//! Invariant: an id is of one person at most, so each person has one id that stands for all of theirs: the first.
//! Not here: display names, which anybody can choose.

use std::collections::HashMap;

use crate::base::At;

/// One `[person.NAME]`.
#[derive(Debug, Clone)]
pub struct Named {
    /// What the configuration calls them.
    pub name: String,
    /// Their ids on all networks, at least one.
    pub ids: Vec<String>,
    /// Where it stands.
    pub at: At,
}

/// The people of the configuration.
#[derive(Debug, Default)]
pub struct People {
    named: Vec<Named>,
    by_id: HashMap<String, usize>,
}

impl People {
    /// Sorts people by their ids. Of an id that stands in two the first counts; the configuration reports it.
    pub fn new(named: Vec<Named>) -> Self {
        let mut by_id = HashMap::new();
        for (index, person) in named.iter().enumerate() {
            for id in &person.ids {
                by_id.entry(id.clone()).or_insert(index);
            }
        }
        Self { named, by_id }
    }

    /// All of them, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Named> {
        self.named.iter()
    }

    /// The id that stands for all ids of a person; the id itself where the configuration knows no others.
    pub fn one<'a>(&'a self, id: &'a str) -> &'a str {
        self.of(id).and_then(|person| person.ids.first()).map_or(id, String::as_str)
    }

    /// All ids of the person who has this one.
    pub fn ids<'a>(&'a self, id: &'a str) -> impl Iterator<Item = &'a str> {
        let others = self.of(id).map(|person| person.ids.as_slice()).unwrap_or_default();
        std::iter::once(id).chain(others.iter().map(String::as_str).filter(move |other| *other != id))
    }

    /// The person who has an id.
    pub fn of(&self, id: &str) -> Option<&Named> {
        self.by_id.get(id).map(|index| &self.named[*index])
    }

    /// The person of a name.
    pub fn named(&self, name: &str) -> Option<&Named> {
        self.named.iter().find(|person| person.name == name)
    }

    /// Whether two ids are one person's.
    pub fn same(&self, one: &str, other: &str) -> bool {
        self.one(one) == self.one(other)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_of_one_person_are_one() {
        let at = At { file: "plugins.toml".into(), line: 1 };
        let ids = vec!["@bob:example.org".to_owned(), "bob2".to_owned()];
        let people = People::new(vec![Named { name: "bob".into(), ids, at }]);
        assert!(people.same("bob2", "@bob:example.org") && people.same("@eve:example.org", "@eve:example.org"));
        // A name of the configuration is no id.
        assert!(!people.same("bob", "bob2") && !people.same("@Bob:example.org", "bob2"));
        assert_eq!(people.ids("bob2").collect::<Vec<_>>(), ["bob2", "@bob:example.org"]);
        assert_eq!(people.ids("eve").collect::<Vec<_>>(), ["eve"]);
        assert_eq!(people.one("bob2"), "@bob:example.org");
    }
}
