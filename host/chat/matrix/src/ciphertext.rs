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

/// The name of an event that is still encrypted.
pub(crate) fn name(raw: &RawEvent) -> Option<String> {
    let content = content(raw)?;
    let message = MegolmMessage::from_base64(content["ciphertext"].as_str()?).ok()?;
    Some(format!("megolm/{}/{}", content["session_id"].as_str()?, message.message_index()))
}

/// The name of an event that came decrypted: a sync leaves nothing of the ciphertext, so it is asked for. `None` where there is
/// none that says the same, which is a homeserver's lie or the event's end.
///
/// # Errors
/// The homeserver or the store of keys does not answer now.
pub(crate) async fn name_of_opened(room: &Room, event: &Event) -> Result<Option<String>, Trouble> {
    if event.name.is_some() {
        return Ok(event.name.clone());
    }
    let Some((id, _)) = convert::id_and_time(&event.raw) else { return Ok(None) };
    let asked = room.client().send(get_room_event::v3::Request::new(room.room_id().to_owned(), id)).await;
    let found = match asked.map_err(Trouble::from) {
        Ok(answer) => Event::from(answer.event.cast_unchecked::<AnySyncTimelineEvent>()),
        Err(Trouble::Refused { .. }) => return Ok(None),
        Err(trouble) => return Err(trouble),
    };
    if !found.is_sealed() {
        return Ok(None);
    }
    let opened = sealed::open(room, &found).await?;
    Ok(opened.ok().filter(|opened| content(&opened.raw) == content(&event.raw)).and_then(|opened| opened.name))
}

fn content(raw: &RawEvent) -> Option<Value> {
    raw.get_field("content").ok().flatten()
}
