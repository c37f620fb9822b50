//! Sending one message, and looking back for one.
//!
//! Architecture Invariant: a key makes one transaction id for ever, so that the homeserver answers a second
//! send on the same device with the first one's event. Nothing is retried here: the outbox decides.
//! Architecture Invariant: whether an event is encrypted is the room's business alone. Where that is not known, nothing is
//! sent. The hidden key is part of what is encrypted.

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
use wardroom::port::{Body, Outgoing, SendError};

use crate::{
    convert, files, rooms,
    sealed::{self, Event},
    trouble::Trouble,
};

/// How far a look back goes: pages of a hundred events.
const PAGES: usize = 5;

/// The types of events that we send.
const MESSAGE: &str = "m.room.message";
const REACTION: &str = "m.reaction";

/// Sends a message and gives the event's id.
pub(crate) async fn send(client: &Client, message: &Outgoing) -> Result<String, SendError> {
    let id = room_id(client, &message.room).await?;
    let sent = send_to(&room(client, &id).await?, &message.key, &message.body).await;
    match (sent, &message.body) {
        // A room that was upgraded takes nothing any more; its successor has no thread of it.
        (Err(SendError::Never { reason }), Body::Say { text, .. }) => match rooms::successor(client, &id) {
            Some(next) => send_to(&next, &message.key, &Body::Say { text: text.clone(), thread: None }).await,
            None => Err(SendError::Never { reason }),
        },
        (sent, _) => sent,
    }
}

async fn send_to(room: &Room, key: &str, body: &Body) -> Result<String, SendError> {
    match body {
        Body::Say { text, thread } => {
            let thread = thread.as_deref().map(event_id).transpose()?;
            if convert::fits(text) {
                return send_event(room, MESSAGE, convert::say(text, thread, key), key).await;
            }
            // The file first: where the message is found, it is there too.
            let text = files::send(room, text, thread, key).await?;
            send_event(room, MESSAGE, convert::say(&text, thread, key), key).await
        }
        Body::Edit { event, text } => send_event(room, MESSAGE, convert::edit(event_id(event)?, text, key), key).await,
        Body::React { event, emoji } => {
            send_event(room, REACTION, convert::react(event_id(event)?, emoji, key), key).await
        }
    }
}

/// Sends an event, encrypted where the room is, and gives its id.
pub(crate) async fn send_event(room: &Room, kind: &str, content: Value, key: &str) -> Result<String, SendError> {
    let known = room.latest_encryption_state().await.map_err(Trouble::from)?;
    if known.is_unknown() {
        let reason = "the homeserver does not say whether the room is encrypted".to_owned();
        return Err(SendError::Later { after: None, reason });
    }
    match room.send_raw(kind, content).with_transaction_id(&transaction(key)).await {
        Ok(sent) => Ok(sent.response.event_id.to_string()),
        // The emoji stands there already, put there by an earlier try. Which event that was, only a look back says.
        Err(error) if matches!(error.client_api_error_kind(), Some(ErrorKind::DuplicateAnnotation)) => {
            Ok(look_back(room, key).await.ok().flatten().unwrap_or_default())
        }
        Err(error) => Err(Trouble::from(error).into()),
    }
}

/// Looks back in a room, and in its successor, for an event of ours that carries this key.
pub(crate) async fn find(client: &Client, name: &str, key: &str) -> Result<Option<String>, SendError> {
    let id = room_id(client, name).await?;
    let found = look_back(&room(client, &id).await?, key).await?;
    match (found, rooms::successor(client, &id)) {
        (None, Some(next)) => look_back(&next, key).await,
        (found, _) => Ok(found),
    }
}

/// Looks back in one room.
pub(crate) async fn look_back(room: &Room, key: &str) -> Result<Option<String>, SendError> {
    let client = room.client();
    let Some(me) = client.user_id() else { return Ok(None) };
    let mut from = None;
    for _ in 0..PAGES {
        let mut request = get_message_events::v3::Request::backward(room.room_id().to_owned());
        request.limit = uint!(100);
        request.from = from;
        let page = client.send(request).await.map_err(|error| SendError::from(Trouble::from(&error)))?;
        for event in page.chunk {
            let mut event = Event::from(event.cast());
            if event.sender().as_deref() != Some(me) {
                continue;
            }
            if event.is_sealed()
                && let Ok(opened) = sealed::open(room, &event).await?
            {
                event = opened;
            }
            if convert::carries_key(&event.raw, me, key) {
                return Ok(convert::id_and_time(&event.raw).map(|(id, _)| id.to_string()));
            }
        }
        from = page.end;
        if from.is_none() {
            break;
        }
    }
    Ok(None)
}

/// A key's transaction id. Hashed, because keys are of any length and letters, and this stands in a URL.
fn transaction(key: &str) -> OwnedTransactionId {
    let hash = hex::encode(Sha256::digest(key));
    format!("wardroom-{}", &hash[..40]).into()
}

/// The id of a room that is named by its id or its alias.
async fn room_id(client: &Client, room: &str) -> Result<OwnedRoomId, SendError> {
    let never = || SendError::Never { reason: format!("`{room}` is no room of this homeserver") };
    let named = OwnedRoomOrAliasId::try_from(room).map_err(|_| never())?;
    rooms::find(client, &named).await?.ok_or_else(never)
}

/// A room that we are in. A sync tells of a room later than the homeserver knows it.
async fn room(client: &Client, id: &RoomId) -> Result<Room, SendError> {
    if let Some(room) = client.get_room(id).filter(|room| room.state() == RoomState::Joined) {
        return Ok(room);
    }
    let joined = client.send(joined_rooms::v3::Request::new()).await.map_err(|error| Trouble::from(&error))?;
    Err(match joined.joined_rooms.iter().any(|room| room == id) {
        true => SendError::Later { after: None, reason: format!("nothing is known of the room {id} yet") },
        false => SendError::Never { reason: format!("we are not in the room {id}") },
    })
}

fn event_id(event: &str) -> Result<&EventId, SendError> {
    <&EventId>::try_from(event)
        .map_err(|_| SendError::Never { reason: format!("`{event}` is no id of a Matrix event") })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_makes_one_transaction_id_for_ever() {
        // Written out: another hash in a later release would say everything twice after an update.
        assert_eq!(transaction("7f3a/card").as_str(), "wardroom-993956c1e9d314334763601ac0a70f81a6e20c09");
        assert_ne!(transaction("7f3a/card"), transaction("7f3a/card#2"));
    }

    #[test]
    fn ids_that_are_none_are_never_sent() {
        assert!(matches!(event_id("e1"), Err(SendError::Never { .. })));
    }
}
