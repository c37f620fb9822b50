//! Notices when the account may no longer send to a room, and when it may again.

use matrix_sdk::{
    ruma::{RoomId, UserId, serde::Raw},
    sync::{State, SyncResponse},
};
use wardroom_account::RoomMembership;

use super::SyncLoop;
use crate::{power_levels, room_upgrades::latest_successor};

/// The types of state on which it depends whether the account may send to a room.
const KINDS: [&str; 4] = ["m.room.create", "m.room.power_levels", "m.room.encryption", "m.room.tombstone"];

/// Returns whether the account's permission to send to a room may have changed with a sync.
pub(super) fn may_change(response: &SyncResponse, me: &UserId) -> bool {
    let decides = |kind: Option<String>, state_key: Option<String>| match (kind.as_deref(), state_key) {
        (Some("m.room.member"), Some(key)) => key == me.as_str(),
        (Some(kind), Some(_)) => KINDS.contains(&kind),
        _ => false,
    };
    fn field<T>(raw: &Raw<T>, name: &str) -> Option<String> {
        raw.get_field(name).ok().flatten()
    }
    let of_state = |(State::Before(state) | State::After(state)): &State| {
        state.iter().any(|event| decides(field(event, "type"), field(event, "state_key")))
    };
    let mut joined = response.rooms.joined.values();
    !response.rooms.left.is_empty()
        || joined.any(|update| {
            let mut timeline = update.timeline.events.iter();
            of_state(&update.state)
                || timeline.any(|event| decides(field(event.raw(), "type"), field(event.raw(), "state_key")))
        })
}

impl SyncLoop<'_> {
    /// Records for each joined room that the bot handles whether the account may send to it. Records the configured
    /// rooms that the bot has left as rooms to which it may not send.
    pub(super) async fn update_permissions(&self, response: &SyncResponse) {
        for room in response.rooms.left.keys() {
            if self.joined_rooms.is_configured(room) {
                self.record_refusal(room, Some(power_levels::NOT_IN_ROOM.to_owned()));
            } else {
                self.permissions.allow(room.as_str());
            }
        }
        for room in self.client.joined_rooms() {
            let id = room.room_id();
            // Messages to an upgraded room are sent to its successor.
            let is_used = self.membership(id) == RoomMembership::Served && latest_successor(&self.client, id).is_none();
            let is_encrypted = !self.encryption.is_plain(&room);
            let refusal = if is_used { power_levels::refusal(&room, is_encrypted).await } else { None };
            self.record_refusal(id, refusal);
        }
    }

    fn record_refusal(&self, room: &RoomId, refusal: Option<String>) {
        match refusal {
            Some(reason) => {
                if self.permissions.block(room.as_str(), &*reason) {
                    tracing::warn!(%room, reason, "the bot may not send to a room; its messages wait, and no action starts from the room; hint: give the bot a power level that may send messages");
                }
            }
            None => {
                if self.permissions.allow(room.as_str()) {
                    tracing::info!(%room, "the bot may send to the room again");
                }
            }
        }
    }
}
