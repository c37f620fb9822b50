//! Sending one message, and looking back for one.
//!
//! Architecture Invariant: a key makes one transaction id for ever, so that the homeserver answers a second
//! send on the same device with the first one's event. Nothing is retried here: the outbox decides.

use matrix_sdk::{
    Client, HttpError,
    ruma::{
        EventId, OwnedRoomId, OwnedRoomOrAliasId, OwnedTransactionId,
        api::{
            client::message::{get_message_events, send_message_event},
            error::ErrorKind,
        },
        events::MessageLikeEventType,
        serde::Raw,
        uint,
    },
};
use serde_json::Value;
use sha2::{Digest, Sha256};
use wardroom::port::{Body, Outgoing, SendError};

use crate::{convert, rooms, trouble::Trouble};

/// How far a look back goes: pages of a hundred events.
const PAGES: usize = 5;

/// Sends a message and gives the event's id.
pub(crate) async fn send(client: &Client, message: &Outgoing) -> Result<String, SendError> {
    let room = room_id(client, &message.room).await?;
    let key = message.key.as_str();
    let (kind, content) = match &message.body {
        Body::Say { text, thread } => {
            let thread = thread.as_deref().map(event_id).transpose()?;
            (MessageLikeEventType::RoomMessage, convert::say(text, thread, key))
        }
        Body::Edit { event, text } => (MessageLikeEventType::RoomMessage, convert::edit(event_id(event)?, text, key)),
        Body::React { event, emoji } => (MessageLikeEventType::Reaction, convert::react(event_id(event)?, emoji, key)),
    };
    let reaction = kind == MessageLikeEventType::Reaction;
    let request = send_message_event::v3::Request::new_raw(room, transaction(key), kind, raw(&content)?);
    match client.send(request).await {
        Ok(sent) => Ok(sent.event_id.to_string()),
        // The emoji stands there already, put there by an earlier try. Which event that was, only a look back says.
        Err(error) if reaction && is_duplicate(&error) => {
            Ok(find(client, &message.room, key).await.ok().flatten().unwrap_or_default())
        }
        Err(error) => Err(Trouble::from(&error).into()),
    }
}

/// Looks back in a room for an event of ours that carries this key.
pub(crate) async fn find(client: &Client, room: &str, key: &str) -> Result<Option<String>, SendError> {
    let room = room_id(client, room).await?;
    let Some(me) = client.user_id() else { return Ok(None) };
    let mut from = None;
    for _ in 0..PAGES {
        let mut request = get_message_events::v3::Request::backward(room.clone());
        request.limit = uint!(100);
        request.from = from;
        let page = client.send(request).await.map_err(|error| SendError::from(Trouble::from(&error)))?;
        for event in &page.chunk {
            let event = event.cast_ref();
            if convert::carries_key(event, me, key) {
                return Ok(convert::id_and_time(event).map(|(id, _)| id.to_string()));
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

fn event_id(event: &str) -> Result<&EventId, SendError> {
    <&EventId>::try_from(event)
        .map_err(|_| SendError::Never { reason: format!("`{event}` is no id of a Matrix event") })
}

fn raw<T>(content: &Value) -> Result<Raw<T>, SendError> {
    Raw::from_json_string(content.to_string()).map_err(|error| SendError::Never { reason: error.to_string() })
}

fn is_duplicate(error: &HttpError) -> bool {
    matches!(error.client_api_error_kind(), Some(ErrorKind::DuplicateAnnotation))
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
