//! The rooms where something may be missing, and when each of them is tried again.
//!
//! Architecture Invariant: a room leaves this list when it was read back, or when we are out of it or have no
//! business there; never because reading it failed. Each room waits by itself, so that one that cannot be read
//! does not hold up the others.

use std::{
    collections::BTreeMap,
    time::{Duration, Instant},
};

use matrix_sdk::ruma::{OwnedRoomId, RoomId};
use wardroom_account::Backoff;

use crate::sealed::Event;

/// So many events of a room are kept beside what is read back, the newest.
const MOST_CAME: usize = 1_000;

/// Rooms to be read back to their marks.
#[derive(Debug, Default)]
pub(crate) struct Behind {
    rooms: BTreeMap<OwnedRoomId, Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    /// What syncs brought meanwhile, oldest first.
    came: Vec<Event>,
    backoff: Backoff,
    /// Not before this; `None` is at once.
    due: Option<Instant>,
    told: bool,
}

impl Behind {
    /// A room is behind, and this came meanwhile. One that waits already waits on.
    pub(crate) fn add(&mut self, room: OwnedRoomId, came: Vec<Event>) {
        let waiting = &mut self.rooms.entry(room).or_default().came;
        waiting.extend(came);
        // What is left out here is found again when the room is read back.
        waiting.drain(..waiting.len().saturating_sub(MOST_CAME));
    }

    /// Whether a room is behind.
    pub(crate) fn contains(&self, room: &RoomId) -> bool {
        self.rooms.contains_key(room)
    }

    /// What came of a room meanwhile. It stays here until the room is removed.
    pub(crate) fn came(&self, room: &RoomId) -> Vec<Event> {
        self.rooms.get(room).map(|waiting| waiting.came.clone()).unwrap_or_default()
    }

    /// Nothing of a room is missing, or nothing is wanted of it.
    pub(crate) fn remove(&mut self, room: &RoomId) {
        self.rooms.remove(room);
    }

    /// The rooms to be tried now.
    pub(crate) fn due(&self, now: Instant) -> Vec<OwnedRoomId> {
        let due = |waiting: &Waiting| waiting.due.is_none_or(|due| due <= now);
        self.rooms.iter().filter(|(_, waiting)| due(waiting)).map(|(room, _)| room.clone()).collect()
    }

    /// How long until a room is to be tried; `None` where none is behind.
    pub(crate) fn next_due(&self, now: Instant) -> Option<Duration> {
        let until = |waiting: &Waiting| waiting.due.map_or(Duration::ZERO, |due| due.saturating_duration_since(now));
        self.rooms.values().map(until).min()
    }

    /// It did not work: the room is tried again after a pause that grows, or after as long as the homeserver
    /// asked for if that is longer. Gives whether this is the first time, which is the one to be told.
    pub(crate) fn failed(&mut self, room: &RoomId, now: Instant, asked: Option<Duration>) -> bool {
        let Some(waiting) = self.rooms.get_mut(room) else { return false };
        waiting.due = Some(now + waiting.backoff.next_asked(asked));
        !std::mem::replace(&mut waiting.told, true)
    }

    /// The homeserver wants no requests for so long: no room is tried before.
    pub(crate) fn rest(&mut self, now: Instant, asked: Duration) {
        for waiting in self.rooms.values_mut() {
            waiting.due = waiting.due.max(Some(now + asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::{owned_room_id, room_id, serde::Raw};

    use super::*;

    fn event(id: &str) -> Event {
        Event::from(Raw::from_json_string(format!("{{\"event_id\":\"{id}\"}}")).expect("an object is JSON"))
    }

    #[test]
    fn a_room_that_fails_keeps_its_events_and_waits_longer_each_time() {
        let mut behind = Behind::default();
        let room = room_id!("!a:x");
        behind.add(room.to_owned(), vec![event("$1:x")]);
        let mut now = Instant::now();
        assert_eq!(behind.next_due(now), Some(Duration::ZERO));
        assert!(behind.failed(room, now, None), "told the first time");
        let first = behind.next_due(now).expect("behind");
        for _ in 0..8 {
            assert!(behind.due(now).is_empty(), "no busy loop");
            now += behind.next_due(now).expect("behind");
            assert_eq!(behind.due(now), [room]);
            assert!(!behind.failed(room, now, None), "and not again");
        }
        assert!(behind.next_due(now).expect("behind") > first * 10);
        behind.add(room.to_owned(), vec![event("$2:x")]);
        assert!(behind.due(now).is_empty(), "what comes does not end the pause");
        assert_eq!(behind.came(room).len(), 2);
    }

    #[test]
    fn a_room_that_waits_for_long_keeps_what_came_last() {
        let mut behind = Behind::default();
        let room = room_id!("!a:x");
        for number in 0..MOST_CAME + 5 {
            behind.add(room.to_owned(), vec![event(&format!("${number}:x"))]);
        }
        let came = behind.came(room);
        assert_eq!(came.len(), MOST_CAME);
        assert!(came[0].raw.json().get().contains("$5:x"), "{:?}", came[0]);
    }

    #[test]
    fn a_room_that_fails_does_not_hold_up_another() {
        let mut behind = Behind::default();
        let now = Instant::now();
        behind.add(owned_room_id!("!a:x"), Vec::new());
        behind.failed(room_id!("!a:x"), now, Some(Duration::from_secs(60)));
        behind.add(owned_room_id!("!b:x"), Vec::new());
        assert_eq!(behind.due(now), [room_id!("!b:x")]);
        assert_eq!(behind.next_due(now), Some(Duration::ZERO));
        behind.remove(room_id!("!b:x"));
        assert!(behind.next_due(now).expect("a room") >= Duration::from_secs(60), "as long as asked");
    }

    #[test]
    fn a_homeserver_that_limits_rates_is_left_alone() {
        let mut behind = Behind::default();
        let now = Instant::now();
        behind.add(owned_room_id!("!a:x"), Vec::new());
        behind.add(owned_room_id!("!b:x"), Vec::new());
        behind.rest(now, Duration::from_secs(5));
        assert!(behind.due(now + Duration::from_secs(4)).is_empty());
        assert_eq!(behind.due(now + Duration::from_secs(5)).len(), 2);
        assert_eq!(Behind::default().next_due(now), None);
    }
}
