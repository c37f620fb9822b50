//! Resolves the text that a person types for another person, such as `bob`, to an id.
//!
//! Invariant: if a text matches several people, the command is refused, and the refusal lists their ids. All rights
//! depend on the resolved id.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use crate::{
    base::clean,
    command::{Command, CommandKind},
    engine::{host::Host, verdict::Refusal},
    model::{Person, local_part},
    policy::Access,
    store::InboxRow,
};

/// The timeout of the request to a chat network for the members of a room.
const MEMBERS_TIMEOUT: Duration = Duration::from_secs(2);
/// The maximum number of matching people that a refusal lists.
const MAX_CANDIDATES: usize = 5;

impl Host {
    /// Replaces the people in the arguments of a command with their ids. `me` is the sender.
    pub(crate) async fn with_people(&self, mut command: Command, row: &InboxRow) -> Result<Command, Refusal> {
        let typed: Vec<(usize, String)> = command.people().map(|(index, text)| (index, text.to_owned())).collect();
        if typed.is_empty() {
            return Ok(command);
        }
        let (members, is_complete) = self.people_of(row).await;
        for (index, text) in typed {
            let id = match text.as_str() {
                "me" => row.sender.id.clone(),
                text => {
                    let access = &self.context.access;
                    let acts = command.spec().kind == CommandKind::Action;
                    let id = find_person(access, &members, text, acts).map_err(Refusal::Malformed)?;
                    // Another member of the room can have the same name.
                    if !is_complete && id != text {
                        let text = clean(text);
                        return Err(Refusal::Unable(format!(
                            "The members of this room cannot be read, so `{text}` could match several people. Write \
                             the full id instead, or try again."
                        )));
                    }
                    id
                }
            };
            command = command.with_person(index, id);
        }
        Ok(command)
    }

    /// Returns the sender and the other members of the message's room. The second value is `false` if the chat network
    /// did not return the members.
    async fn people_of(&self, row: &InboxRow) -> (Vec<Person>, bool) {
        let mut people = vec![row.sender.clone()];
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network) else { return (people, true) };
        match tokio::time::timeout(MEMBERS_TIMEOUT, chat.members(&row.key.room)).await {
            Ok(Ok(members)) => {
                people.extend(members.into_iter().filter(|member| member.id != row.sender.id));
                return (people, true);
            }
            Ok(Err(error)) => {
                tracing::warn!(room = row.key.room, %error, "cannot read the members of the room; this command accepts people only by full id, not by name")
            }
            Err(_) => tracing::warn!(
                room = row.key.room,
                "the request for the members of the room timed out; this command accepts people only by full id, not by name"
            ),
        }
        (people, false)
    }
}

/// Resolves `text` to the id of a person. `text` is an id, a name in the configuration, a handle or a display name.
/// `members` are the members of the room. A handle or display name must match only one person among `members` and the
/// people in the configuration. `acts` is true for an action, which accepts no display name, because anybody can take
/// the display name of somebody else.
///
/// # Errors
/// Fails if nobody matches, or if several people match. The error is the message for the sender.
pub(crate) fn find_person(access: &Access, members: &[Person], text: &str, acts: bool) -> Result<String, String> {
    let known = access.known_people();
    if known.iter().any(|id| id == text) || members.iter().any(|person| person.id == text) {
        return Ok(text.to_owned());
    }
    let nobody = || {
        let text = clean(text);
        format!("There is no person `{text}` in the room or the configuration. Write the person's id or handle.")
    };
    // Do not compare a text in the form of a full id with display names, so that nobody can imitate an id.
    if text.starts_with('@') && text.contains(':') {
        return Err(nobody());
    }
    let word = text.strip_prefix('@').unwrap_or(text);
    // Count the matches by person. Of a person's several ids, the id in the room takes precedence.
    let mut matches: BTreeMap<&str, &Person> = BTreeMap::new();
    let mut by_handle = BTreeSet::new();
    let configured: Vec<Person> = known.into_iter().map(Person::named_by_id).collect();
    for person in members.iter().chain(&configured) {
        let is_configured = access.persons.of(&person.id).is_some_and(|named| named.name == word);
        let is_handle = local_part(&person.id) == word;
        let is_named = person.name == text || person.name == word;
        if is_configured || is_handle || is_named {
            let canonical = access.persons.canonical_id(&person.id);
            matches.entry(canonical).or_insert(person);
            // On a network whose ids contain no name, such as Mattermost, the name is a unique handle.
            if is_configured || is_handle || !person.id.contains(':') {
                by_handle.insert(canonical);
            }
        }
    }
    if acts && !by_handle.is_empty() {
        matches.retain(|canonical, _| by_handle.contains(canonical));
    } else if acts && !matches.is_empty() {
        let all: Vec<String> = matches.into_values().take(MAX_CANDIDATES).map(shown).collect();
        let (word, all) = (clean(word), all.join(", "));
        return Err(format!(
            "`{word}` is the display name of {all}, and anybody can take a display name. Write the person's id."
        ));
    }
    let mut matches = matches.into_values();
    match (matches.next(), matches.next()) {
        (Some(only), None) if members.contains(only) => Ok(only.id.clone()),
        (Some(only), None) => Ok(access.persons.canonical_id(&only.id).to_owned()),
        (None, _) => Err(nobody()),
        (Some(first), Some(second)) => {
            let all: Vec<String> = [first, second].into_iter().chain(matches).take(MAX_CANDIDATES).map(shown).collect();
            let (word, all) = (clean(word), all.join(", "));
            Err(format!("`{word}` matches several people: {all}. Write the person's id."))
        }
    }
}

/// Returns the id of a person, with the display name if the name differs from the id: `@bob:a.org (Bob)`.
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
        assert_eq!(find_person(&access(), &here, "@alice:a.org", false).as_deref(), Ok("@alice:a.org"));
        assert_eq!(find_person(&access(), &here, "@bob:a.org", false).as_deref(), Ok("@bob:a.org"));
    }

    #[test]
    fn a_handle_and_a_name_are_enough_where_one_person_has_them() {
        let here = [person("@bob:a.org", "Robert Smith"), person("@eve:a.org", "Eve")];
        for text in ["bob", "@bob", "Robert Smith"] {
            assert_eq!(find_person(&access(), &here, text, false).as_deref(), Ok("@bob:a.org"), "{text}");
        }
        // On a network whose ids are numbers, the name is the handle.
        assert_eq!(find_person(&access(), &[person("u7", "frank")], "@frank", false).as_deref(), Ok("u7"));
        assert!(
            find_person(&access(), &here, "robert smith", false).is_err()
                && find_person(&access(), &here, "", false).is_err()
        );
    }

    #[test]
    fn an_action_accepts_no_display_name() {
        let here = [person("@bob:a.org", "Robert Smith"), person("@eve:a.org", "Eve")];
        for text in ["bob", "@bob", "@bob:a.org"] {
            assert_eq!(find_person(&access(), &here, text, true).as_deref(), Ok("@bob:a.org"), "{text}");
        }
        let why = find_person(&access(), &here, "Robert Smith", true).unwrap_err();
        assert_eq!(
            why,
            "`Robert Smith` is the display name of @bob:a.org (Robert Smith), and anybody can take a display name. Write \
             the person's id."
        );
        // A display name does not make a handle ambiguous.
        let imitated = [person("@bob:a.org", "Bob"), person("@eve:a.org", "bob")];
        assert_eq!(find_person(&access(), &imitated, "bob", true).as_deref(), Ok("@bob:a.org"));
        // On a network whose ids are numbers, the name is the handle.
        assert_eq!(find_person(&access(), &[person("u7", "frank")], "@frank", true).as_deref(), Ok("u7"));
        assert_eq!(find_person(&access(), &[], "carol", true).as_deref(), Ok("@carol:a.org"), "a configured name");
    }

    #[test]
    fn a_name_that_imitates_somebody_is_asked_back() {
        let here = [person("@eve:a.org", "alice")];
        let why = find_person(&access(), &here, "alice", false).unwrap_err();
        assert_eq!(why, "`alice` matches several people: @alice:a.org, @eve:a.org (alice). Write the person's id.");
        let here = [person("@bob:a.org", "Bob"), person("@bob:b.org", "Bob")];
        let why = find_person(&access(), &here, "bob", false).unwrap_err();
        assert_eq!(why, "`bob` matches several people: @bob:a.org (Bob), @bob:b.org (Bob). Write the person's id.");
    }

    #[test]
    fn one_person_with_several_ids_is_one() {
        let here = [person("@carol.work:b.org", "Carol")];
        assert_eq!(find_person(&access(), &here, "carol", false).as_deref(), Ok("@carol.work:b.org"));
        assert_eq!(find_person(&access(), &[], "@carol", false).as_deref(), Ok("@carol:a.org"));
    }

    #[test]
    fn a_full_id_is_nobodys_name() {
        let here = [Person { id: "@eve:a.org".into(), name: "@dora:a.org".into() }];
        assert!(find_person(&access(), &here, "@dora:a.org", false).is_err());
        assert_eq!(find_person(&access(), &here, "@eve:a.org", false).as_deref(), Ok("@eve:a.org"));
    }
}
