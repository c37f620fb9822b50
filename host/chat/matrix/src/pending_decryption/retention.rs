//! Limits the number and the size of the stored events that cannot be decrypted yet, per account and per room. Because
//! of the limit per room, a flood in one room does not displace the events of another room.

use std::collections::{BTreeMap, HashSet, VecDeque};

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
        let (mut count, mut bytes) = self.totals(|event| event.room == room);
        // The oldest events come first.
        self.events.retain(|event| {
            let is_dropped = event.room == room && (count > MAX_ROOM_EVENTS || bytes > MAX_ROOM_BYTES);
            if is_dropped {
                (count, bytes) = (count - 1, bytes - event.size());
            }
            !is_dropped
        });
        let (count, bytes) = self.totals(|_| true);
        if count > MAX_EVENTS || bytes > MAX_BYTES {
            let dropped = self.oldest_of_largest_rooms(count, bytes);
            let mut index = 0..;
            self.events.retain(|_| index.next().is_none_or(|index| !dropped.contains(&index)));
        }
        before - self.events.len()
    }

    /// Returns the indexes of the events that must be dropped from the account's `count` events with `bytes` bytes.
    fn oldest_of_largest_rooms(&self, mut count: usize, mut bytes: usize) -> HashSet<usize> {
        // The total size of each room's events, and their indexes, oldest first.
        let mut rooms: BTreeMap<&OwnedRoomId, (usize, VecDeque<usize>)> = BTreeMap::new();
        for (index, event) in self.events.iter().enumerate() {
            let room = rooms.entry(&event.room).or_default();
            room.0 += event.size();
            room.1.push_back(index);
        }
        let mut dropped = HashSet::new();
        while count > MAX_EVENTS || bytes > MAX_BYTES {
            let Some((size, indexes)) = rooms.values_mut().max_by_key(|(size, _)| *size) else { break };
            let Some(oldest) = indexes.pop_front() else { break };
            let freed = self.events[oldest].size();
            (*size, count, bytes) = (*size - freed, count - 1, bytes - freed);
            dropped.insert(oldest);
        }
        dropped
    }

    /// Returns the number and the total size of the events for which `filter` returns `true`.
    fn totals(&self, filter: impl Fn(&PendingEvent) -> bool) -> (usize, usize) {
        let events = self.events.iter().filter(|event| filter(event));
        events.fold((0, 0), |(count, bytes), event| (count + 1, bytes + event.size()))
    }
}
