//! Rooms that were upgraded: another room takes the place of one that is closed.
//!
//! Architecture Invariant: who may close a room may say where it goes on, and no more than that: the new room must name the old
//! one as the one before it. Otherwise anybody with that right could have us in any room.

use matrix_sdk::{
    Room, RoomState,
    deserialized_responses::RawSyncOrStrippedState,
    ruma::{
        OwnedRoomId, OwnedServerName, OwnedUserId, RoomId,
        api::client::{
            membership::{join_room_by_id_or_alias, leave_room},
            state::get_state_event_for_key,
        },
        events::{StateEventType, room::tombstone::RoomTombstoneEventContent},
    },
};
use serde_json::Value;

use crate::trouble::Trouble;

/// The room that is said to have taken the place of this one.
pub(crate) fn announced(room: &Room) -> Option<OwnedRoomId> {
    room.successor_room().map(|next| next.room_id).filter(|next| next != room.room_id())
}

/// Comes into the room that is said to have taken the place of this one. Gives whether it has; out of one that has not, we
/// are again.
///
/// # Errors
/// The homeserver does not answer, or does not let us in.
pub(crate) async fn follow(room: &Room, to: &RoomId) -> Result<bool, Trouble> {
    let client = room.client();
    let was_in = client.get_room(to).is_some_and(|room| room.state() == RoomState::Joined);
    if !was_in {
        let mut request = join_room_by_id_or_alias::v3::Request::new(to.to_owned().into());
        request.via = servers(room).await;
        client.send(request).await?;
    }
    let request = get_state_event_for_key::v3::Request::new(to.to_owned(), StateEventType::RoomCreate, String::new());
    let create = client.send(request).await?.into_content().deserialize_as_unchecked::<Value>().unwrap_or_default();
    let really = create["predecessor"]["room_id"] == room.room_id().as_str();
    if really {
        tracing::info!(room = %room.room_id(), %to, "the room was upgraded, going on in the new one");
    } else {
        tracing::warn!(room = %room.room_id(), %to, "somebody says that the room goes on in another, which does not name it as the one before: not followed");
        if !was_in {
            client.send(leave_room::v3::Request::new(to.to_owned())).await?;
        }
    }
    Ok(really)
}

/// Who knows the new room: the server of whoever closed the old one.
async fn servers(room: &Room) -> Vec<OwnedServerName> {
    let closed = room.get_state_event_static::<RoomTombstoneEventContent>().await.ok().flatten();
    let sender = closed.and_then(|event| match event {
        RawSyncOrStrippedState::Sync(event) => event.get_field::<OwnedUserId>("sender").ok().flatten(),
        RawSyncOrStrippedState::Stripped(event) => event.get_field::<OwnedUserId>("sender").ok().flatten(),
    });
    sender.into_iter().map(|sender| sender.server_name().to_owned()).collect()
}
