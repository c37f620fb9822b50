//! Resolves the text that was typed for a person to an id.
//!
//! Invariant: there are no guesses. A text that can mean several people is refused with the candidates, and rights
//! depend on the resolved id only.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    base::clean,
    command::Command,
    engine::{host::Host, verdict::Refusal},
    model::{Person, handle},
    policy::Access,
    store::InboxRow,
};

/// The timeout for reading the members of a room from the network.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(2);
/// The most candidates that a refusal names.
const MAX_CANDIDATES: usize = 5;

impl Host {
    /// Replaces the people in a command's arguments with their ids. `me` is the sender.
    pub(crate) async fn with_people(&self, mut command: Command, row: &InboxRow) -> Result<Command, Refusal> {
        let typed: Vec<(usize, String)> = command.people().map(|(place, text)| (place, text.to_owned())).collect();
        if typed.is_empty() {
            return Ok(command);
        }
        let (here, all) = self.people_of(row).await;
        for (place, text) in typed {
            let id = match text.as_str() {
                "me" => row.sender.id.clone(),
                text => {
                    let access = &self.context.access;
                    let id = find_person(access, &here, text).map_err(|NotFound(why)| Refusal::Malformed(why))?;
                    // The member list is incomplete, so another member can have the same name.
                    if !all && id != text {
                        let text = clean(text);
                        return Err(Refusal::Unable(format!(
                            "who is in this room is not known now, so `{text}` could be several: write the full id"
                        )));
                    }
                    id
                }
            };
            command = command.with_person(place, id);
        }
        Ok(command)
    }

    /// The members of a message's room, with its sender, and whether the list is complete.
    async fn people_of(&self, row: &InboxRow) -> (Vec<Person>, bool) {
        let mut here = vec![row.sender.clone()];
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network) else { return (here, true) };
        match tokio::time::timeout(MEMBERS_TIMEOUT, chat.members(&row.key.room)).await {
            Ok(Ok(members)) => {
                here.extend(members.into_iter().filter(|member| member.id != row.sender.id));
                return (here, true);
            }
            Ok(Err(error)) => tracing::warn!(%error, "the members of a room cannot be read"),
            Err(_) => tracing::warn!(room = row.key.room, "reading the members of a room timed out"),
        }
        (here, false)
    }
}

/// The reason why a text resolves to no single person, as text for the sender.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct NotFound(pub String);

/// Resolves a text to the id of a person: a known id, a name in the configuration, or a handle or display name. A
/// handle or display name must be unique among `here` and the people that the configuration names by id.
///
/// # Errors
/// [`NotFound`]: no match, or several.
pub(crate) fn find_person(access: &Access, here: &[Person], text: &str) -> Result<String, NotFound> {
    let known = access.known_people();
    if known.iter().any(|id| id == text) || here.iter().any(|person| person.id == text) {
        return Ok(text.to_owned());
    }
    let nobody = || {
        let text = clean(text);
        NotFound(format!("Nobody here is called `{text}`: write the id, the handle, or the name as it is shown."))
    };
    // A text in the form of a full id never matches a display name, so nobody can imitate an id.
    if text.starts_with('@') && text.contains(':') {
        return Err(nobody());
    }
    let word = text.strip_prefix('@').unwrap_or(text);
    // Matches are counted by person. Of a person's several ids, one in the room takes precedence.
    let mut fits: BTreeMap<&str, &Person> = BTreeMap::new();
    let configured: Vec<Person> = known.into_iter().map(Person::named_by_id).collect();
    for person in here.iter().chain(&configured) {
        let named = access.persons.of(&person.id).is_some_and(|named| named.name == word);
        if handle(&person.id) == word || person.name == text || person.name == word || named {
            fits.entry(access.persons.canonical_id(&person.id)).or_insert(person);
        }
    }
    let mut fits = fits.into_values();
    match (fits.next(), fits.next()) {
        (Some(only), None) if here.contains(only) => Ok(only.id.clone()),
        (Some(only), None) => Ok(access.persons.canonical_id(&only.id).to_owned()),
        (None, _) => Err(nobody()),
        (Some(first), Some(second)) => {
            let all: Vec<String> = [first, second].into_iter().chain(fits).take(MAX_CANDIDATES).map(shown).collect();
            Err(NotFound(format!("Which {}? {}", clean(word), all.join(", "))))
        }
    }
}

/// A person's id, with the display name if it differs.
fn shown(person: &Person) -> String {
    match clean(&person.name) {
        name if name == person.id => clean(&person.id),
        name => format!("{} ({name})", clean(&person.id)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::policy::{NamedPerson, People, Policy};

    fn access() -> Access {
        let ids = vec!["@carol:a.org".to_owned(), "@carol.work:b.org".to_owned()];
        let persons = People::new(vec![NamedPerson { name: "carol".into(), ids }]);
        Access::new(Policy { admins: vec!["@alice:a.org".into()], persons, ..Policy::default() })
    }

    fn person(id: &str, name: &str) -> Person {
        Person { id: id.into(), name: name.into() }
    }

    #[test]
    fn an_id_is_itself_whatever_people_call_themselves() {
        let here = [person("@eve:a.org", "@alice:a.org"), person("@bob:a.org", "Bob")];
        assert_eq!(find_person(&access(), &here, "@alice:a.org").as_deref(), Ok("@alice:a.org"));
        assert_eq!(find_person(&access(), &here, "@bob:a.org").as_deref(), Ok("@bob:a.org"));
    }

    #[test]
    fn a_handle_and_a_name_are_enough_where_one_person_has_them() {
        let here = [person("@bob:a.org", "Robert Smith"), person("@eve:a.org", "Eve")];
        for text in ["bob", "@bob", "Robert Smith"] {
            assert_eq!(find_person(&access(), &here, text).as_deref(), Ok("@bob:a.org"), "{text}");
        }
        // On a network whose ids are numbers, the name is the handle.
        assert_eq!(find_person(&access(), &[person("u7", "frank")], "@frank").as_deref(), Ok("u7"));
        assert!(find_person(&access(), &here, "robert smith").is_err() && find_person(&access(), &here, "").is_err());
    }

    #[test]
    fn a_name_that_imitates_somebody_is_asked_back() {
        let here = [person("@eve:a.org", "alice")];
        let why = find_person(&access(), &here, "alice").unwrap_err();
        assert_eq!(why.0, "Which alice? @alice:a.org, @eve:a.org (alice)");
        let here = [person("@bob:a.org", "Bob"), person("@bob:b.org", "Bob")];
        let why = find_person(&access(), &here, "bob").unwrap_err();
        assert_eq!(why.0, "Which bob? @bob:a.org (Bob), @bob:b.org (Bob)");
    }

    #[test]
    fn one_person_with_several_ids_is_one() {
        let here = [person("@carol.work:b.org", "Carol")];
        assert_eq!(find_person(&access(), &here, "carol").as_deref(), Ok("@carol.work:b.org"));
        assert_eq!(find_person(&access(), &[], "@carol").as_deref(), Ok("@carol:a.org"));
    }

    #[test]
    fn a_full_id_is_nobodys_name() {
        let here = [Person { id: "@eve:a.org".into(), name: "@dora:a.org".into() }];
        assert!(find_person(&access(), &here, "@dora:a.org").is_err());
        assert_eq!(find_person(&access(), &here, "@eve:a.org").as_deref(), Ok("@eve:a.org"));
    }
}
