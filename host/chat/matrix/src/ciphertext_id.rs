//! The deduplication key of an encrypted event: its sender, the id of the Megolm session that encrypted the event, and
//! the event's message index in that session.
//!
//! Invariant: the homeserver chooses an event's id and time, so it can deliver one ciphertext as two
//! events. It cannot choose the message index, which is authenticated with the ciphertext. The inbox therefore accepts
//! only one event for each sender, session and message index.
//! Not here: the record of the deduplication keys that were handled, which the engine's inbox keeps.

use matrix_sdk::{
    Room,
    ruma::{api::client::room::get_room_event, events::AnySyncTimelineEvent},
};
use matrix_sdk_base::crypto::vodozemac::megolm::MegolmMessage;
use serde_json::Value;

use crate::{
    decryption::decrypt,
    error::MatrixError,
    room_event::{RawEvent, RoomEvent},
};

/// The result of [`look_up`], which requests an encrypted event to compute its deduplication key.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Lookup {
    Found(String),
    /// The homeserver does not return the event, so a duplicate cannot be detected.
    Unavailable,
    /// The homeserver returns another event or a redacted event under the same id.
    Replaced,
}

/// Returns the deduplication key of an event that is still encrypted: `megolm/SENDER/SESSION/INDEX`. The key includes
/// the sender, so that a copy of the ciphertext from another person does not block the original. `None` if the event
/// has no Megolm ciphertext.
pub(crate) fn of(event: &RoomEvent) -> Option<String> {
    let content = content(&event.raw)?;
    let message = MegolmMessage::from_base64(content["ciphertext"].as_str()?).ok()?;
    let (sender, session) = (event.sender()?, content["session_id"].as_str()?.to_owned());
    Some(format!("megolm/{sender}/{session}/{}", message.message_index()))
}

/// Looks up the deduplication key of a decrypted event. A sync delivers events without their ciphertext, so this
/// function requests the encrypted event from the homeserver.
///
/// # Errors
/// The homeserver is unavailable or the key store failed; a retry can succeed.
pub(crate) async fn look_up(room: &Room, event: &RoomEvent) -> Result<Lookup, MatrixError> {
    if let Some(id) = &event.ciphertext_id {
        return Ok(Lookup::Found(id.clone()));
    }
    let Some(id) = event.id() else { return Ok(Lookup::Unavailable) };
    let answer = room.client().send(get_room_event::v3::Request::new(room.room_id().to_owned(), id)).await;
    let original = match answer.map_err(MatrixError::from) {
        Ok(answer) => RoomEvent::from(answer.event.cast_unchecked::<AnySyncTimelineEvent>()),
        Err(MatrixError::Rejected { .. }) => return Ok(Lookup::Unavailable),
        Err(error) => return Err(error),
    };
    if !original.is_encrypted() {
        return Ok(Lookup::Replaced);
    }
    // Compare the session and the sender, too: another person can send the same text in another session.
    let is_same = |decrypted: &RoomEvent| {
        decrypted.session().is_some()
            && decrypted.session() == event.session()
            && decrypted.sender() == event.sender()
            && content(&decrypted.raw) == content(&event.raw)
    };
    let decrypted = decrypt(room, &original).await?.ok().filter(is_same);
    Ok(decrypted.and_then(|decrypted| decrypted.ciphertext_id).map_or(Lookup::Replaced, Lookup::Found))
}

fn content(raw: &RawEvent) -> Option<Value> {
    raw.get_field("content").ok().flatten()
}
