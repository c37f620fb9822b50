//! What an encrypted event is called by its ciphertext: the session that encrypted it and its place in that.
//!
//! Architecture Invariant: the id of an event is the homeserver's, and it can bring the same ciphertext as another event, with
//! a date of its own. The place of a ciphertext is signed with it, and counts once.
//! Not here: what was taken already (the engine's inbox).

use matrix_sdk::{
    Room,
    ruma::{api::client::room::get_room_event, events::AnySyncTimelineEvent},
};
use matrix_sdk_base::crypto::vodozemac::megolm::MegolmMessage;
use serde_json::Value;

use crate::{
    convert::{self, RawEvent},
    sealed::{self, Event},
    trouble::Trouble,
};

/// What is known of an event by its ciphertext.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Named {
    /// Its name.
    Name(String),
    /// The homeserver does not show it: nobody can tell whether it is new.
    Nameless,
    /// What the homeserver shows under its id is something else by now, or was taken back.
    Gone,
}

/// The name of an event that is still encrypted: with its sender, because anybody can send somebody else's ciphertext, which
/// is nobody's word then and must not stand in the way of theirs.
pub(crate) fn name(event: &Event) -> Option<String> {
    let content = content(&event.raw)?;
    let message = MegolmMessage::from_base64(content["ciphertext"].as_str()?).ok()?;
    let (sender, session) = (event.sender()?, content["session_id"].as_str()?.to_owned());
    Some(format!("megolm/{sender}/{session}/{}", message.message_index()))
}

/// The name of an event that came decrypted: a sync leaves nothing of the ciphertext, so it is asked for.
///
/// # Errors
/// The homeserver or the store of keys does not answer now.
pub(crate) async fn name_of_opened(room: &Room, event: &Event) -> Result<Named, Trouble> {
    if let Some(name) = &event.name {
        return Ok(Named::Name(name.clone()));
    }
    let Some((id, _)) = convert::id_and_time(&event.raw) else { return Ok(Named::Nameless) };
    let asked = room.client().send(get_room_event::v3::Request::new(room.room_id().to_owned(), id)).await;
    let found = match asked.map_err(Trouble::from) {
        Ok(answer) => Event::from(answer.event.cast_unchecked::<AnySyncTimelineEvent>()),
        Err(Trouble::Refused { .. }) => return Ok(Named::Nameless),
        Err(trouble) => return Err(trouble),
    };
    if !found.is_sealed() {
        return Ok(Named::Gone);
    }
    let same = |opened: &Event| {
        // Other words of the same kind may be somebody else's, under a session of theirs.
        opened.session().is_some()
            && opened.session() == event.session()
            && opened.sender() == event.sender()
            && content(&opened.raw) == content(&event.raw)
    };
    let opened = sealed::open(room, &found).await?.ok().filter(same);
    Ok(opened.and_then(|opened| opened.name).map_or(Named::Gone, Named::Name))
}

fn content(raw: &RawEvent) -> Option<Value> {
    raw.get_field("content").ok().flatten()
}
