//! Sends one message, and searches a room for a message that was sent before.
//!
//! Invariant: an idempotency key always gives the same transaction id, so that the homeserver deduplicates
//! a repeated send from the same device. This module does not retry; the outbox does.
//! Invariant: the encryption state of the room alone decides whether an event is encrypted. Nothing is
//! sent while the encryption state is unknown. A message's idempotency key is part of its encrypted content.

use std::borrow::Cow;

use matrix_sdk::{
    Client, Room, RoomState,
    ruma::{
        EventId, OwnedRoomId, OwnedRoomOrAliasId, OwnedTransactionId, RoomId,
        api::{
            client::{membership::joined_rooms, message::get_message_events},
            error::ErrorKind,
        },
        uint,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wardroom::{
    adapter::{Body, Outgoing, SendError},
    base::Text,
};

use crate::{
    attachment, content, convert, decryption::decrypt, error::MatrixError, power_levels, responses::Request,
    room_encryption::RoomEncryption, room_event::RoomEvent, room_upgrades::latest_successor, rooms,
};

/// Maximum number of pages that are searched for a sent message. A page has 100 events. A message that is older than
/// these pages is not found.
const SEARCH_PAGES: usize = 5;

/// Maximum lengths, in bytes, of the texts that replace a message that the homeserver rejects as too large.
const SHORTENED: [usize; 3] = [8_000, 2_000, 500];

const MESSAGE: &str = "m.room.message";
const REACTION: &str = "m.reaction";

/// Sends a message and returns the event's id.
///
/// # Errors
/// [`SendError::Later`] if a retry can succeed, [`SendError::Forbidden`] if the account may not send to the room now,
/// [`SendError::Never`] otherwise.
pub(crate) async fn send(
    client: &Client,
    encryption: &RoomEncryption,
    message: &Outgoing,
) -> Result<String, SendError> {
    let id = room_id(client, &message.room).await?;
    let sent = match joined_room(client, &id).await {
        Ok(room) => send_to(&room, encryption, &message.key, &message.body).await,
        Err(error) => Err(error),
    };
    let error = match sent {
        Err(error @ (SendError::Never { .. } | SendError::Forbidden { .. })) => error,
        sent => return sent,
    };
    match (latest_successor(client, &id), &message.body) {
        // An upgraded room accepts no message, so send to its successor. The thread does not exist there.
        (Some(next), Body::Say { text, .. }) => {
            encryption.inherit(&id, next.room_id())?;
            send_to(&next, encryption, &message.key, &Body::Say { text: text.clone(), thread: None }).await
        }
        (Some(_), Body::Edit { .. } | Body::React { .. }) => Err(error_in_upgraded_room(error)),
        (None, _) => Err(error),
    }
}

/// Returns the error for an edit or a reaction in a room that was upgraded. The event does not exist in the successor,
/// and the permission in the upgraded room does not come back, so that waiting for it would block later messages.
fn error_in_upgraded_room(error: SendError) -> SendError {
    match error {
        SendError::Forbidden { reason } => {
            SendError::Never { reason: format!("the room was upgraded, and the event is in the closed room: {reason}") }
        }
        error => error,
    }
}

async fn send_to(room: &Room, encryption: &RoomEncryption, key: &str, body: &Body) -> Result<String, SendError> {
    match body {
        Body::Say { text, thread } => {
            let thread = thread.as_deref().map(event_id).transpose()?;
            let mut shown = Cow::Borrowed(text);
            if !content::fits(text) {
                // Send the file first: if a search finds the message, its file was sent, too.
                shown = Cow::Owned(attachment::send(room, encryption, text, thread, key).await?);
            }
            send_message(room, encryption, key, &shown, |text| content::message(text, thread, key)).await
        }
        Body::Edit { event, text } => {
            let event = event_id(event)?;
            send_message(room, encryption, key, text, |text| content::edit(event, text, key)).await
        }
        Body::React { event, emoji } => {
            let content = content::reaction(event_id(event)?, emoji, key);
            match send_event(room, encryption, REACTION, content, key).await {
                // Only this reaction is forbidden. Messages do not wait for it.
                Err(MatrixError::Forbidden { reason }) => Err(SendError::Never { reason }),
                sent => Ok(sent?),
            }
        }
    }
}

/// Sends a message or an edit, whose content `make` creates from a text. If the homeserver rejects the event as too
/// large, sends a shorter text.
async fn send_message(
    room: &Room,
    encryption: &RoomEncryption,
    key: &str,
    text: &Text,
    make: impl Fn(&Text) -> Value,
) -> Result<String, SendError> {
    let mut lengths = SHORTENED.iter();
    let mut content = make(text);
    loop {
        match (send_confirmed(room, encryption, content, key).await, lengths.next()) {
            (Err(MatrixError::TooLarge { reason }), Some(length)) => {
                tracing::info!(room = %room.room_id(), key, length, error = reason, "the homeserver rejected a message as too large; sending a shorter message");
                content = make(&text.clone().clamped(*length));
            }
            (sent, _) => return Ok(sent?),
        }
    }
}

/// Sends a message event. If the homeserver rejects the event as forbidden, checks whether the account may send
/// messages to the room. If it may, sends the event a second time, because the permission can return between the
/// rejection and the check.
///
/// # Errors
/// [`MatrixError::Forbidden`] if the account may send no message to the room; [`MatrixError::Rejected`] if only this
/// event is forbidden, for example by a spam filter; otherwise as for [`send_event`].
pub(crate) async fn send_confirmed(
    room: &Room,
    encryption: &RoomEncryption,
    content: Value,
    key: &str,
) -> Result<String, MatrixError> {
    let mut is_repeated = false;
    loop {
        let reason = match send_event(room, encryption, MESSAGE, content.clone(), key).await {
            Err(MatrixError::Forbidden { reason }) => reason,
            sent => return sent,
        };
        let is_encrypted = !encryption.is_plain(room);
        match power_levels::request_refusal(&room.client(), room.room_id(), is_encrypted).await? {
            Some(reason) => return Err(MatrixError::Forbidden { reason }),
            None if is_repeated => return Err(MatrixError::Rejected { reason }),
            None => is_repeated = true,
        }
    }
}

/// Sends an event, encrypted if the room is encrypted. `kind` is the event's type, `key` its idempotency key. Returns
/// the event's id.
///
/// # Errors
/// [`MatrixError`]. The transaction id stays the same for a shorter message, because the homeserver stored no event.
async fn send_event(
    room: &Room,
    encryption: &RoomEncryption,
    kind: &str,
    content: Value,
    key: &str,
) -> Result<String, MatrixError> {
    // The lookup fails while the encryption state is unknown, or if an encrypted room is reported as not encrypted.
    // Nothing is sent then.
    encryption.is_encrypted(room).await?;
    match room.send_raw(kind, content).with_transaction_id(&transaction_id(key)).await {
        Ok(sent) => Ok(sent.response.event_id.to_string()),
        // An earlier attempt added the reaction, so search for its event id.
        Err(error) if matches!(error.client_api_error_kind(), Some(ErrorKind::DuplicateAnnotation)) => {
            Ok(search(room, key).await.ok().flatten().unwrap_or_default())
        }
        Err(error) => Err(MatrixError::of_sdk(Request::Event, &error)),
    }
}

/// Searches a room and its latest successor for the bot's event with this idempotency key. `name` is the room's id or
/// alias. Returns the event's id; `None` if the event is not found.
///
/// # Errors
/// [`SendError::Later`] if a retry can succeed, [`SendError::Never`] otherwise.
pub(crate) async fn find(client: &Client, name: &str, key: &str) -> Result<Option<String>, SendError> {
    let id = room_id(client, name).await?;
    let successor = latest_successor(client, &id);
    let found = match joined_room(client, &id).await {
        Ok(room) => search(&room, key).await?,
        // The bot has left the upgraded room.
        Err(SendError::Forbidden { .. }) if successor.is_some() => None,
        Err(error) => return Err(error),
    };
    match (found, successor) {
        (None, Some(next)) => search(&next, key).await,
        (found, _) => Ok(found),
    }
}

/// Searches the newest events of one room for the bot's event with this idempotency key. Returns the event's id; `None`
/// if the event is not found.
///
/// # Errors
/// [`SendError::Later`] if a retry can succeed, [`SendError::Never`] otherwise.
pub(crate) async fn search(room: &Room, key: &str) -> Result<Option<String>, SendError> {
    let client = room.client();
    let Some(me) = client.user_id() else { return Ok(None) };
    let mut from = None;
    for _ in 0..SEARCH_PAGES {
        let mut request = get_message_events::v3::Request::backward(room.room_id().to_owned());
        request.limit = uint!(100);
        request.from = from;
        let page = client.send(request).await.map_err(|error| SendError::from(MatrixError::from(&error)))?;
        for event in page.chunk {
            let mut event = RoomEvent::from(event.cast());
            if event.sender().as_deref() != Some(me) {
                continue;
            }
            if event.is_encrypted()
                && let Ok(decrypted) = decrypt(room, &event).await?
            {
                event = decrypted;
            }
            if convert::carries_key(&event.raw, me, key) {
                return Ok(event.id().map(|id| id.to_string()));
            }
        }
        from = page.end;
        if from.is_none() {
            break;
        }
    }
    Ok(None)
}

/// Returns the transaction id for an idempotency key. The id is a hash, because a key can have any length and any
/// characters, and the id is part of a URL.
pub(crate) fn transaction_id(key: &str) -> OwnedTransactionId {
    let hash = hex::encode(Sha256::digest(key));
    format!("wardroom-{}", &hash[..40]).into()
}

/// Returns the id of a room. `room` is the room's id or alias.
async fn room_id(client: &Client, room: &str) -> Result<OwnedRoomId, SendError> {
    let unknown =
        || SendError::Never { reason: format!("the homeserver has no room `{room}`; correct its id or alias") };
    let named = OwnedRoomOrAliasId::try_from(room).map_err(|_| unknown())?;
    rooms::resolve(client, &named).await?.ok_or_else(unknown)
}

/// Returns a joined room. If no sync has delivered the room, asks the homeserver whether the bot is in the room.
async fn joined_room(client: &Client, id: &RoomId) -> Result<Room, SendError> {
    if let Some(room) = client.get_room(id).filter(|room| room.state() == RoomState::Joined) {
        return Ok(room);
    }
    let joined = client.send(joined_rooms::v3::Request::new()).await.map_err(|error| MatrixError::from(&error))?;
    Err(match joined.joined_rooms.iter().any(|room| room == id) {
        true => SendError::Later {
            after: None,
            reason: format!("the bot is in the room `{id}`, but no sync has delivered the room yet"),
        },
        false => SendError::Forbidden { reason: format!("the bot is not in the room `{id}`; invite it to the room") },
    })
}

pub(crate) fn event_id(event: &str) -> Result<&EventId, SendError> {
    <&EventId>::try_from(event)
        .map_err(|_| SendError::Never { reason: format!("`{event}` is not the id of a Matrix event") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_always_has_the_same_transaction_id() {
        // The id is a literal: another hash in a later release would send messages twice after an update.
        assert_eq!(transaction_id("7f3a/card").as_str(), "wardroom-993956c1e9d314334763601ac0a70f81a6e20c09");
        assert_ne!(transaction_id("7f3a/card"), transaction_id("7f3a/card#2"));
    }

    #[test]
    fn an_edit_in_an_upgraded_room_does_not_wait_for_a_permission() {
        let forbidden = SendError::Forbidden { reason: "closed".into() };
        assert!(matches!(error_in_upgraded_room(forbidden), SendError::Never { .. }));
        let outage = SendError::Later { after: None, reason: "502".into() };
        assert!(matches!(error_in_upgraded_room(outage), SendError::Later { .. }));
    }

    #[test]
    fn an_invalid_event_id_is_never_sent() {
        assert!(matches!(event_id("e1"), Err(SendError::Never { .. })));
    }
}
