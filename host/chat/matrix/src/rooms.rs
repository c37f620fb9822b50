//! Looks up Matrix rooms and their members.

use matrix_sdk::{
    Client, RoomMemberships, RoomState,
    ruma::{OwnedRoomId, OwnedRoomOrAliasId, RoomId, RoomOrAliasId, api::client::alias::get_alias},
};
use wardroom::{adapter::SendError, model::Person};
use wardroom_account::display_name;

use crate::{error::MatrixError, room_upgrades::latest_successor};

/// Returns a room's id. An alias is looked up on the homeserver; `None` if the homeserver does not have the alias.
///
/// # Errors
/// The homeserver does not answer.
pub(crate) async fn resolve(client: &Client, room: &OwnedRoomOrAliasId) -> Result<Option<OwnedRoomId>, MatrixError> {
    let room: &RoomOrAliasId = room;
    let alias = match <&RoomId>::try_from(room) {
        Ok(id) => return Ok(Some(id.to_owned())),
        Err(alias) => alias.to_owned(),
    };
    match client.send(get_alias::v3::Request::new(alias)).await.map_err(MatrixError::from) {
        Ok(answer) => Ok(Some(answer.room_id)),
        Err(MatrixError::Rejected { .. }) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Returns the id of a joined room. If the room was upgraded, returns the id of the latest successor that the bot has
/// joined. `name` is the room's id or alias. Returns `None` if the bot is in none of these rooms.
///
/// # Errors
/// The homeserver does not answer.
pub(crate) async fn joined_room_id(client: &Client, name: &str) -> Result<Option<String>, SendError> {
    // The name may belong to a room of another network.
    let Ok(room) = OwnedRoomOrAliasId::try_from(name) else { return Ok(None) };
    let Some(id) = resolve(client, &room).await? else { return Ok(None) };
    if let Some(successor) = latest_successor(client, &id) {
        return Ok(Some(successor.room_id().to_string()));
    }
    let is_joined = client.get_room(&id).is_some_and(|room| room.state() == RoomState::Joined);
    Ok(is_joined.then(|| id.to_string()))
}

/// Returns the members of a room, except the bot.
///
/// # Errors
/// [`SendError::Never`] if the bot is not in the room; [`SendError::Later`] if the homeserver does not answer.
pub(crate) async fn members(client: &Client, room: &str) -> Result<Vec<Person>, SendError> {
    let not_joined =
        || SendError::Never { reason: format!("the bot is not in the room `{room}`; invite it to the room") };
    let id = RoomId::parse(room).map_err(|_| not_joined())?;
    let room = client.get_room(&id).filter(|room| room.state() == RoomState::Joined).ok_or_else(not_joined)?;
    let members = room.members(RoomMemberships::JOIN).await.map_err(MatrixError::from)?;
    let others = members.iter().filter(|member| Some(member.user_id()) != client.user_id());
    Ok(others
        .map(|member| {
            let name = display_name(member.display_name(), member.user_id().localpart());
            Person { id: member.user_id().to_string(), name }
        })
        .collect())
}
