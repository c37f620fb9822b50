//! Resolves the text that a person types for another person, such as `bob`, to an id.
//!
//! Invariant: if a text matches several people, the command is refused, and the refusal lists their ids. All rights
//! depend on the resolved id.
//! Invariant: on a network whose ids do not contain the handle, such as Mattermost, only the network says whose handle a
//! text is, and it is asked for each command. The name of a [`Person`] can be out of date, and some networks let people
//! choose it.

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

/// The timeout of a request to a chat network: for the members of a room, or for the owner of a handle.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(2);
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
                    let text = without_punctuation(text);
                    let access = &self.context.access;
                    let acts = command.spec().kind == CommandKind::Action;
                    let owner = self.owner_of_handle(row, &members, text).await?;
                    let id = find_person(access, &members, owner.as_deref(), text, acts);
                    let id = id.map_err(Refusal::Malformed)?;
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

    /// Returns the id of the person who has the handle `text` on the message's network now; `None` if nobody has it, or
    /// if the text is the id of one of the known people.
    ///
    /// # Errors
    /// Fails if the network cannot be asked. The error is the answer to the sender.
    async fn owner_of_handle(&self, row: &InboxRow, members: &[Person], text: &str) -> Result<Option<String>, Refusal> {
        let is_id = is_known_id(&self.context.access, members, text) || is_full_id(text);
        let chat = self.context.outbox.chat(&row.bot, &row.key.network).filter(|_| !is_id);
        let Some(chat) = chat else { return Ok(None) };
        let why = match tokio::time::timeout(REQUEST_TIMEOUT, chat.owner_of_handle(handle(text))).await {
            Ok(Ok(owner)) => return Ok(owner.map(|owner| owner.id)),
            Ok(Err(error)) => error.to_string(),
            Err(_) => format!("the chat network did not answer within {} s", REQUEST_TIMEOUT.as_secs()),
        };
        tracing::warn!(
            room = row.key.room,
            error = why,
            "cannot look up whose handle a person in a command is; the command is refused; hint: write the person's id"
        );
        let text = clean(text);
        Err(Refusal::Unable(format!(
            "The chat network does not answer, so it is unknown whose handle `{text}` is. Write the full id instead, or \
             try again."
        )))
    }

    /// Returns the members of the message's room and its sender. The second value is `false` if the chat network did
    /// not return the members.
    async fn people_of(&self, row: &InboxRow) -> (Vec<Person>, bool) {
        let mut people = vec![row.sender.clone()];
        let Some(chat) = self.context.outbox.chat(&row.bot, &row.key.network) else { return (people, true) };
        match tokio::time::timeout(REQUEST_TIMEOUT, chat.members(&row.key.room)).await {
            Ok(Ok(members)) => {
                // The name in the list of members is newer than the one in the message.
                people.retain(|sender| members.iter().all(|member| member.id != sender.id));
                people.extend(members);
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
/// `members` are the members of the room. `owner` is the id of the person who has the handle `text` on a network whose
/// ids do not contain the handle; see [`Chat::owner_of_handle`](crate::adapter::Chat::owner_of_handle). A handle or
/// display name must match only one person among `members` and the people in the configuration. `acts` is true for an
/// action, which accepts no display name, because anybody can take the display name of somebody else.
///
/// # Errors
/// Fails if nobody matches, or if several people match. The error is the message for the sender.
pub(crate) fn find_person(
    access: &Access,
    members: &[Person],
    owner: Option<&str>,
    text: &str,
    acts: bool,
) -> Result<String, String> {
    if is_known_id(access, members, text) {
        return Ok(text.to_owned());
    }
    let nobody = || {
        let text = clean(text);
        format!("There is no person `{text}` in the room or the configuration. Write the person's id or handle.")
    };
    // Do not compare a text in the form of a full id with display names, so that nobody can imitate an id.
    if is_full_id(text) {
        return Err(nobody());
    }
    let word = handle(text);
    // Count the matches by person. Of a person's several ids, the id in the room takes precedence.
    let mut matches: BTreeMap<&str, &Person> = BTreeMap::new();
    let mut by_handle = BTreeSet::new();
    let configured: Vec<Person> = access.known_people().into_iter().map(Person::named_by_id).collect();
    for person in members.iter().chain(&configured) {
        let is_configured = access.persons.of(&person.id).is_some_and(|named| named.name == word);
        let is_handle = local_part(&person.id) == word || owner == Some(&*person.id);
        let is_named = person.name == text || person.name == word;
        if is_configured || is_handle || is_named {
            let canonical = access.persons.canonical_id(&person.id);
            matches.entry(canonical).or_insert(person);
            if is_configured || is_handle {
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

/// Returns whether a text is the id of a member of the room or of a person in the configuration.
fn is_known_id(access: &Access, members: &[Person], text: &str) -> bool {
    access.known_people().iter().any(|id| id == text) || members.iter().any(|person| person.id == text)
}

/// Returns whether a text has the form of an id that contains its server: `@bob:example.org`.
fn is_full_id(text: &str) -> bool {
    text.starts_with('@') && text.contains(':')
}

/// Returns a text without the colons and commas at its end, which clients and people write after a mention: `@bob:`. No id
/// and no handle ends with one.
fn without_punctuation(text: &str) -> &str {
    Some(text.trim_end_matches([':', ','])).filter(|text| !text.is_empty()).unwrap_or(text)
}

/// Returns a text without a leading `@`.
fn handle(text: &str) -> &str {
    text.strip_prefix('@').unwrap_or(text)
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
        assert_eq!(find_person(&access(), &here, None, "@alice:a.org", false).as_deref(), Ok("@alice:a.org"));
        assert_eq!(find_person(&access(), &here, None, "@bob:a.org", false).as_deref(), Ok("@bob:a.org"));
    }

    #[test]
    fn a_handle_and_a_name_are_enough_where_one_person_has_them() {
        let here = [person("@bob:a.org", "Robert Smith"), person("@eve:a.org", "Eve")];
        for text in ["bob", "@bob", "Robert Smith"] {
            assert_eq!(find_person(&access(), &here, None, text, false).as_deref(), Ok("@bob:a.org"), "{text}");
        }
        assert!(
            find_person(&access(), &here, None, "robert smith", false).is_err()
                && find_person(&access(), &here, None, "", false).is_err()
        );
    }

    #[test]
    fn an_action_accepts_no_display_name() {
        let here = [person("@bob:a.org", "Robert Smith"), person("@eve:a.org", "Eve")];
        for text in ["bob", "@bob", "@bob:a.org"] {
            assert_eq!(find_person(&access(), &here, None, text, true).as_deref(), Ok("@bob:a.org"), "{text}");
        }
        let why = find_person(&access(), &here, None, "Robert Smith", true).unwrap_err();
        assert_eq!(
            why,
            "`Robert Smith` is the display name of @bob:a.org (Robert Smith), and anybody can take a display name. Write \
             the person's id."
        );
        // A display name does not make a handle ambiguous.
        let imitated = [person("@bob:a.org", "Bob"), person("@eve:a.org", "bob")];
        assert_eq!(find_person(&access(), &imitated, None, "bob", true).as_deref(), Ok("@bob:a.org"));
        assert_eq!(
            find_person(&access(), &[], None, "carol", true).as_deref(),
            Ok("@carol:a.org"),
            "a configured name"
        );
    }

    #[test]
    fn a_handle_that_no_id_contains_belongs_to_the_person_whom_the_network_names() {
        let here = [person("u7", "frank"), person("u8", "eve")];
        let find = |owner, acts| find_person(&access(), &here, owner, "@frank", acts);
        assert_eq!((find(Some("u7"), false), find(Some("u7"), true)), (Ok("u7".into()), Ok("u7".into())));
        // The name in the list of members is out of date: the handle is somebody else's now.
        assert_eq!(find(Some("u8"), true).as_deref(), Ok("u8"));
        let why = find(Some("u8"), false).unwrap_err();
        assert_eq!(why, "`frank` matches several people: u7 (frank), u8 (eve). Write the person's id.");
        // Nobody has the handle, or somebody who is neither here nor in the configuration.
        for owner in [None, Some("u9")] {
            let why = find(owner, true).unwrap_err();
            assert!(why.starts_with("`frank` is the display name of u7 (frank), and anybody can take"), "{why}");
            assert_eq!(find(owner, false).as_deref(), Ok("u7"), "a query accepts a display name");
        }
        let found = find_person(&access(), &here, Some("@alice:a.org"), "boss", true);
        assert_eq!(found.as_deref(), Ok("@alice:a.org"), "a person in the configuration who is not here");
    }

    #[test]
    fn a_name_that_imitates_somebody_is_asked_back() {
        let here = [person("@eve:a.org", "alice")];
        let why = find_person(&access(), &here, None, "alice", false).unwrap_err();
        assert_eq!(why, "`alice` matches several people: @alice:a.org, @eve:a.org (alice). Write the person's id.");
        let here = [person("@bob:a.org", "Bob"), person("@bob:b.org", "Bob")];
        let why = find_person(&access(), &here, None, "bob", false).unwrap_err();
        assert_eq!(why, "`bob` matches several people: @bob:a.org (Bob), @bob:b.org (Bob). Write the person's id.");
    }

    #[test]
    fn one_person_with_several_ids_is_one() {
        let here = [person("@carol.work:b.org", "Carol")];
        assert_eq!(find_person(&access(), &here, None, "carol", false).as_deref(), Ok("@carol.work:b.org"));
        assert_eq!(find_person(&access(), &[], None, "@carol", false).as_deref(), Ok("@carol:a.org"));
    }

    #[test]
    fn a_full_id_is_nobodys_name() {
        let here = [Person { id: "@eve:a.org".into(), name: "@dora:a.org".into() }];
        assert!(find_person(&access(), &here, None, "@dora:a.org", false).is_err());
        assert_eq!(find_person(&access(), &here, None, "@eve:a.org", false).as_deref(), Ok("@eve:a.org"));
    }
}
