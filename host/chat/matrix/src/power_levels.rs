//! Whether the account may send messages to a room, by the room's power levels.
//!
//! Not here: the list of the rooms to which it may not send ([`wardroom::adapter::SendPermissions`]), which `sync` and
//! `send` change.

use matrix_sdk::{
    Client, Room,
    ruma::{
        OwnedUserId, RoomId, UserId,
        api::{
            client::{
                membership::joined_rooms,
                state::get_state_event_for_key::v3::{Request, StateEventFormat},
            },
            error::ErrorKind,
        },
        events::{
            MessageLikeEventType, StateEventType,
            room::{
                create::RoomCreateEventContent,
                power_levels::{RoomPowerLevels, RoomPowerLevelsEventContent, RoomPowerLevelsSource, UserPowerLevel},
            },
        },
        room_version_rules::RoomVersionRules,
    },
};
use serde::Deserialize;

use crate::error::MatrixError;

/// The reason for a room that the account is not in.
pub(crate) const NOT_IN_ROOM: &str = "the bot is not in the room; invite it to the room";

/// Returns the reason why the account may not send messages to a joined room, as far as the client knows without a
/// request; `None` if it may.
pub(crate) async fn refusal(room: &Room, is_encrypted: bool) -> Option<String> {
    refusal_by(&room.power_levels_or_default().await, room.own_user_id(), is_encrypted)
}

/// Same as [`refusal`], but requests the account's rooms and the state of the room from the homeserver.
///
/// # Errors
/// The homeserver does not answer.
pub(crate) async fn request_refusal(
    client: &Client,
    room: &RoomId,
    is_encrypted: bool,
) -> Result<Option<String>, MatrixError> {
    let Some(me) = client.user_id() else { return Ok(None) };
    // A homeserver can return the state of a room that the account has left, as it was then.
    let joined = client.send(joined_rooms::v3::Request::new()).await?.joined_rooms;
    if !joined.iter().any(|joined| joined == room) {
        return Ok(Some(NOT_IN_ROOM.to_owned()));
    }
    // The event names the creator, who has every right in rooms of newer versions.
    let mut create = Request::new(room.to_owned(), StateEventType::RoomCreate, String::new());
    create.format = StateEventFormat::Event;
    let create = match client.send(create).await {
        Ok(answer) => answer.into_event().deserialize_as_unchecked::<CreateEvent>(),
        Err(error) if matches!(error.client_api_error_kind(), Some(ErrorKind::Forbidden)) => {
            return Ok(Some(NOT_IN_ROOM.to_owned()));
        }
        Err(error) => return Err(error.into()),
    };
    let levels = Request::new(room.to_owned(), StateEventType::RoomPowerLevels, String::new());
    let levels = match client.send(levels).await {
        Ok(answer) => answer.into_content().deserialize_as_unchecked::<RoomPowerLevelsEventContent>().ok(),
        Err(error) if matches!(error.client_api_error_kind(), Some(ErrorKind::Forbidden)) => {
            return Ok(Some(NOT_IN_ROOM.to_owned()));
        }
        // A room without power levels.
        Err(error) if matches!(error.client_api_error_kind(), Some(ErrorKind::NotFound)) => None,
        Err(error) => return Err(error.into()),
    };
    let Ok(create) = create else { return Ok(None) };
    // The account may send to a room of an unknown version, as far as the bot can tell.
    let Some(rules) = create.content.room_version.rules() else { return Ok(None) };
    Ok(refusal_by(&power_levels(levels, &rules, create), me, is_encrypted))
}

/// The event with which a room begins.
#[derive(Debug, Deserialize)]
struct CreateEvent {
    sender: OwnedUserId,
    content: RoomCreateEventContent,
}

fn power_levels(
    levels: Option<RoomPowerLevelsEventContent>,
    rules: &RoomVersionRules,
    create: CreateEvent,
) -> RoomPowerLevels {
    let additional = create.content.additional_creators;
    let additional = additional.into_iter().filter(|_| rules.authorization.additional_room_creators);
    let creators: Vec<OwnedUserId> = std::iter::once(create.sender).chain(additional).collect();
    RoomPowerLevels::new(RoomPowerLevelsSource::from(levels), &rules.authorization, creators)
}

fn refusal_by(levels: &RoomPowerLevels, me: &UserId, is_encrypted: bool) -> Option<String> {
    let kind = if is_encrypted { MessageLikeEventType::RoomEncrypted } else { MessageLikeEventType::RoomMessage };
    let required = levels.for_message(kind);
    match levels.for_user(me) {
        UserPowerLevel::Int(own) if own < required => {
            Some(format!("the power level of the bot is {own}, and messages need {required}"))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;
    use serde_json::{Value, json};

    use super::*;

    fn refusal_in(version: &str, levels: Option<Value>, is_encrypted: bool) -> Option<String> {
        let create = json!({ "sender": "@creator:x", "content": { "room_version": version } });
        let create: CreateEvent = serde_json::from_value(create).expect("an event");
        let rules = create.content.room_version.rules().expect("a known version");
        let levels = levels.map(|levels| serde_json::from_value(levels).expect("power levels"));
        refusal_by(&power_levels(levels, &rules, create), user_id!("@bot:x"), is_encrypted)
    }

    #[test]
    fn a_message_needs_the_power_level_of_its_event_type() {
        assert_eq!(refusal_in("11", None, false), None);
        assert_eq!(refusal_in("11", Some(json!({})), true), None);
        let read_only = json!({ "events_default": 50, "users": { "@creator:x": 100 } });
        let why = refusal_in("11", Some(read_only.clone()), false).expect("a refusal");
        assert_eq!(why, "the power level of the bot is 0, and messages need 50");
        assert!(refusal_in("11", Some(read_only), true).is_some());
        // Reactions and messages can have levels of their own, and an encrypted message has another type.
        let encrypted = json!({ "events": { "m.room.encrypted": 50 } });
        assert_eq!(refusal_in("11", Some(encrypted.clone()), false), None);
        assert!(refusal_in("11", Some(encrypted), true).is_some());
        let allowed = json!({ "events_default": 50, "users": { "@bot:x": 50 } });
        assert_eq!(refusal_in("11", Some(allowed), false), None);
        let reactions = json!({ "events": { "m.reaction": 50 } });
        assert_eq!(refusal_in("11", Some(reactions), false), None);
    }

    #[test]
    fn the_creator_of_a_room_of_a_newer_version_may_always_send() {
        let create = json!({ "sender": "@bot:x", "content": { "room_version": "12" } });
        let create: CreateEvent = serde_json::from_value(create).expect("an event");
        let rules = create.content.room_version.rules().expect("a known version");
        let levels = serde_json::from_value(json!({ "events_default": 50 })).expect("power levels");
        assert_eq!(refusal_by(&power_levels(Some(levels), &rules, create), user_id!("@bot:x"), false), None);
    }
}
