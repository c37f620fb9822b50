//! Limits the number and the size of the stored events that cannot be decrypted yet, per account and per room. Because
//! of the limit per room, a flood in one room does not displace the events of another room.

use std::collections::BTreeMap;

use matrix_sdk::ruma::{OwnedRoomId, RoomId};

use super::{PendingDecryption, PendingEvent};

/// Maximum number of stored events of an account. If there are more, the oldest event of the room whose stored events
/// have the largest total size is dropped, until the account is within the limit.
const MAX_EVENTS: usize = 1_000;
/// Maximum number of stored events of one room. If there are more, the room's oldest events are dropped.
pub(super) const MAX_ROOM_EVENTS: usize = 250;
/// Maximum total size of the stored events of an account, in bytes. The limit keeps the file small, because each change
/// rewrites the whole file.
const MAX_BYTES: usize = 4 << 20;
/// Maximum total size of the stored events of one room, in bytes.
pub(super) const MAX_ROOM_BYTES: usize = MAX_BYTES / 4;

impl PendingEvent {
    /// Returns the approximate size of the event on disk, in bytes.
    fn size(&self) -> usize {
        self.raw.json().get().len() + self.later_texts.iter().map(|hash| hash.len() + 3).sum::<usize>()
    }
}

impl PendingDecryption {
    /// Drops the oldest events of a room until the room is within its limits. Then drops the oldest event of the room
    /// whose stored events have the largest total size, until the account is within its limits. Returns the number of
    /// dropped events.
    pub(super) fn drop_excess(&mut self, room: &RoomId) -> usize {
        let before = self.events.len();
        while self.exceeds(|event| event.room == room, MAX_ROOM_EVENTS, MAX_ROOM_BYTES) {
            self.drop_oldest(&room.to_owned());
        }
        while self.exceeds(|_| true, MAX_EVENTS, MAX_BYTES) {
            let mut rooms: BTreeMap<&OwnedRoomId, usize> = BTreeMap::new();
            for event in &self.events {
                *rooms.entry(&event.room).or_default() += event.size();
            }
            let Some(largest) = rooms.into_iter().max_by_key(|(_, bytes)| *bytes).map(|(room, _)| room.clone()) else {
                break;
            };
            self.drop_oldest(&largest);
        }
        before - self.events.len()
    }

    fn exceeds(&self, filter: impl Fn(&PendingEvent) -> bool, max_events: usize, max_bytes: usize) -> bool {
        let events = || self.events.iter().filter(|event| filter(event));
        events().count() > max_events || events().map(PendingEvent::size).sum::<usize>() > max_bytes
    }

    fn drop_oldest(&mut self, room: &OwnedRoomId) {
        if let Some(oldest) = self.events.iter().position(|event| event.room == *room) {
            self.events.remove(oldest);
        }
    }
}
