//! Whom somebody means: what was typed for a person becomes the id of one.
//!
//! Invariant: nobody is guessed. What several people could be is asked back, and rights hang on the id that was found.

use std::{collections::BTreeMap, time::Duration};

use super::{Host, handle::Refusal};
use crate::{command::Command, message::Person, port::store::InboxRow, reply::clean};

/// So long is a network asked who is in the room.
const PATIENCE: Duration = Duration::from_secs(2);
/// So many are named where several fit.
const MOST_NAMED: usize = 5;

impl Host {
    /// A command with the ids of the people that were typed in it.
    pub(super) async fn with_people(&self, mut command: Command, row: &InboxRow) -> Result<Command, Refusal> {
        let typed: Vec<(usize, String)> = command.people().map(|(place, text)| (place, text.to_owned())).collect();
        if typed.is_empty() {
            return Ok(command);
        }
        let here = self.people_of(row).await;
        for (place, text) in typed {
            let id = self.person(&text, &here, row)?;
            command = command.with_person(place, id);
        }
        Ok(command)
    }

    /// Who is in the room of a message now; whoever wrote it always is.
    async fn people_of(&self, row: &InboxRow) -> Vec<Person> {
        let mut here = vec![row.sender.clone()];
        if let Some(chat) = self.shared.outbox.chat(&row.key.network) {
            match tokio::time::timeout(PATIENCE, chat.members(&row.key.room)).await {
                Ok(Ok(members)) => here.extend(members.into_iter().filter(|member| member.id != row.sender.id)),
                Ok(Err(error)) => tracing::warn!(%error, "who is in a room is not known"),
                Err(_) => tracing::warn!(room = row.key.room, "who is in a room was not told in time"),
            }
        }
        here
    }

    /// The id of the person that a text means: an id that is known, a name of the configuration, or the handle or
    /// display name of one person only.
    fn person(&self, text: &str, here: &[Person], row: &InboxRow) -> Result<String, Refusal> {
        let access = &self.shared.access;
        let known = access.known_people();
        if text.eq_ignore_ascii_case("me") {
            return Ok(row.sender.id.clone());
        }
        if known.iter().any(|id| id == text) || here.iter().any(|person| person.id == text) {
            return Ok(text.to_owned());
        }
        if let Some(first) = access.persons.named(text.trim_start_matches('@')).and_then(|named| named.ids.first()) {
            return Ok(first.clone());
        }
        // Of one person with several ids the one that is here is meant.
        let mut fits: BTreeMap<&str, &Person> = BTreeMap::new();
        let configured: Vec<Person> = known.into_iter().map(Person::named_by_id).collect();
        for person in here.iter().chain(&configured) {
            if handle(&person.id) == text.trim_start_matches('@') || person.name == text {
                fits.entry(access.persons.one(&person.id)).or_insert(person);
            }
        }
        let mut fits = fits.into_values();
        match (fits.next(), fits.next()) {
            (Some(only), None) => Ok(only.id.clone()),
            (None, _) => Err(Refusal::Malformed(format!(
                "Nobody here is called `{}`: write the id, the handle, or the name as it is shown.",
                clean(text)
            ))),
            (Some(first), Some(second)) => {
                let all = [first, second].into_iter().chain(fits).take(MOST_NAMED);
                let all: Vec<String> = all.map(shown).collect();
                Err(Refusal::Malformed(format!("Which {}? {}", clean(text), all.join(", "))))
            }
        }
    }
}

/// The part of an id that people know: `bob` of `@bob:example.org`.
pub(crate) fn handle(id: &str) -> &str {
    id.strip_prefix('@').map_or(id, |rest| rest.split_once(':').map_or(rest, |(local, _)| local))
}

/// Somebody with what they call themselves.
fn shown(person: &Person) -> String {
    match clean(&person.name) {
        name if name == person.id => clean(&person.id),
        name => format!("{} ({name})", clean(&person.id)),
    }
}
