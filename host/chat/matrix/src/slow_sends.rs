//! Reports rooms in which encrypted messages are sent slowly.
//!
//! Before an encrypted message, the SDK requests the changed devices of all members. The homeserver forwards the
//! request to the servers of the members, so a server that does not answer delays every message of the bot in that
//! room. The SDK has no other limit than the timeout of the request.

use std::{
    collections::{BTreeSet, HashMap},
    time::Duration,
};

use matrix_sdk::{
    Room, RoomMemberships,
    ruma::{OwnedRoomId, OwnedServerName, RoomId},
};
use parking_lot::Mutex;

/// The duration from which on a send counts as slow. A homeserver typically waits ten seconds for another server.
const SLOW: Duration = Duration::from_secs(8);
/// The number of consecutive slow sends in a room after which the room is reported.
const REPORTED_AFTER: u32 = 3;
/// Maximum number of servers in a report.
const MAX_SERVERS: usize = 5;

/// Returns whether a send with this duration counts as slow.
pub(crate) fn is_slow(duration: Duration) -> bool {
    duration >= SLOW
}

/// The number of consecutive slow sends, by room.
#[derive(Debug, Default)]
pub(crate) struct SlowSends(Mutex<HashMap<OwnedRoomId, u32>>);

impl SlowSends {
    /// Records the duration of a send to an encrypted room. Logs a warning after [`REPORTED_AFTER`] consecutive slow
    /// sends, and again after each doubling of their number.
    pub(crate) async fn record(&self, room: &Room, duration: Duration) {
        let Some(sends) = self.count(room.room_id(), duration) else { return };
        let servers = other_servers(room).await;
        let named = servers.iter().take(MAX_SERVERS).map(ToString::to_string).collect::<Vec<_>>().join(" ");
        tracing::warn!(
            room = %room.room_id(),
            sends,
            servers = named,
            other_servers = servers.len(),
            "the last messages to an encrypted room were sent slowly or not at all; before each message, the homeserver asks the servers of the members for their devices, and one of these servers probably does not answer; hint: check these servers, and remove members whose server does not answer"
        );
    }

    /// Counts a send. Returns the number of consecutive slow sends if the room must be reported now.
    fn count(&self, room: &RoomId, duration: Duration) -> Option<u32> {
        let mut rooms = self.0.lock();
        if !is_slow(duration) {
            rooms.remove(room);
            return None;
        }
        let sends = rooms.entry(room.to_owned()).or_default();
        *sends = sends.saturating_add(1);
        let is_reported = sends.is_multiple_of(REPORTED_AFTER) && (*sends / REPORTED_AFTER).is_power_of_two();
        is_reported.then_some(*sends)
    }
}

/// Returns the servers of a room's members, without the bot's homeserver, as far as the client knows the members.
async fn other_servers(room: &Room) -> BTreeSet<OwnedServerName> {
    let own = room.own_user_id().server_name();
    let members = room.members_no_sync(RoomMemberships::ACTIVE).await.unwrap_or_default();
    let servers = members.iter().map(|member| member.user_id().server_name());
    servers.filter(|server| *server != own).map(ToOwned::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::room_id;

    use super::*;

    #[test]
    fn a_room_is_reported_after_consecutive_slow_sends() {
        let sends = SlowSends::default();
        let (room, other) = (room_id!("!r:x"), room_id!("!other:x"));
        let fast = Duration::from_secs(1);
        let slow = |room| sends.count(room, SLOW);
        assert_eq!((slow(room), slow(room), slow(other)), (None, None, None));
        assert_eq!(sends.count(room, fast), None, "a fast send ends the series");
        assert_eq!((slow(room), slow(room), slow(room)), (None, None, Some(3)));
        let reported: Vec<u32> = (0..30).filter_map(|_| slow(room)).collect();
        assert_eq!(reported, [6, 12, 24], "not for each send");
        assert_eq!((slow(other), slow(other)), (None, Some(3)));
    }
}
