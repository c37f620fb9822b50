//! Follows room upgrades. An upgrade closes a room; the closed room names another room as its successor.
//!
//! Invariant: the bot follows an upgrade only if the successor names the closed room as its predecessor.
//! Without this rule, a person who may close a room could bring the bot into any other room.

use matrix_sdk::{
    Client, Room, RoomState,
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

use crate::error::MatrixError;

/// Maximum number of successive upgrades that are followed from one room. Further successors are ignored.
pub(crate) const MAX_UPGRADES: usize = 32;

/// Returns the successor that a closed room names; `None` for a room that was not upgraded.
pub(crate) fn announced_successor(room: &Room) -> Option<OwnedRoomId> {
    room.successor_room().map(|next| next.room_id).filter(|next| next != room.room_id())
}

/// Joins the successor that a room names. Returns `true` if the successor names the room as its predecessor. Otherwise
/// returns `false`, and leaves the successor unless the bot was in it before this call.
///
/// # Errors
/// The homeserver does not answer, or rejects the join.
pub(crate) async fn join_successor(room: &Room, successor: &RoomId) -> Result<bool, MatrixError> {
    let client = room.client();
    let was_joined = client.get_room(successor).is_some_and(|room| room.state() == RoomState::Joined);
    if !was_joined {
        let mut request = join_room_by_id_or_alias::v3::Request::new(successor.to_owned().into());
        request.via = server_of_upgrade(room).await;
        client.send(request).await?;
    }
    let request =
        get_state_event_for_key::v3::Request::new(successor.to_owned(), StateEventType::RoomCreate, String::new());
    let create = client.send(request).await?.into_content().deserialize_as_unchecked::<Value>().unwrap_or_default();
    let is_confirmed = create["predecessor"]["room_id"] == room.room_id().as_str();
    if is_confirmed {
        tracing::info!(room = %room.room_id(), %successor, "the room was upgraded; the bot now uses the successor room");
    } else {
        tracing::warn!(room = %room.room_id(), %successor, "ignored a room upgrade, because the successor does not name the room as its predecessor; hint: if the upgrade is genuine, have an admin invite the bot to the successor");
        if !was_joined {
            client.send(leave_room::v3::Request::new(successor.to_owned())).await?;
        }
    }
    Ok(is_confirmed)
}

/// Follows the upgrades of a room and returns the last successor that the bot has joined; `None` if the bot has joined
/// no successor. Each successor must name its predecessor.
pub(crate) fn latest_successor(client: &Client, id: &RoomId) -> Option<Room> {
    let mut latest: Option<Room> = None;
    for _ in 0..MAX_UPGRADES {
        let at = latest.as_ref().map_or(id, |room| room.room_id()).to_owned();
        let next = client.get_room(&at)?.successor_room().and_then(|next| client.get_room(&next.room_id));
        let next = next.filter(|next| next.state() == RoomState::Joined);
        match next.filter(|next| next.predecessor_room().is_some_and(|before| before.room_id == at)) {
            Some(next) => latest = Some(next),
            None => break,
        }
    }
    latest
}

/// Returns the server of the person who closed a room. The bot joins the successor through that server.
async fn server_of_upgrade(room: &Room) -> Vec<OwnedServerName> {
    let tombstone = room.get_state_event_static::<RoomTombstoneEventContent>().await.ok().flatten();
    let sender = tombstone.and_then(|event| match event {
        RawSyncOrStrippedState::Sync(event) => event.get_field::<OwnedUserId>("sender").ok().flatten(),
        RawSyncOrStrippedState::Stripped(event) => event.get_field::<OwnedUserId>("sender").ok().flatten(),
    });
    sender.into_iter().map(|sender| sender.server_name().to_owned()).collect()
}
