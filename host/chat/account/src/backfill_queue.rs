//! The queue of rooms to backfill, with a retry time per room. A backfill reads a room from its newest event back to
//! the room's cursor.
//!
//! Invariant: a room leaves the queue after a successful backfill. If the room was queued again during that backfill,
//! the room stays queued. A failed backfill does not remove the room. The caller removes a room that the bot has left
//! or ignores.
//! Invariant: each room has its own retry time, so that a failing room does not delay the others.
//! Not here: reading a room's events, which `backfill.rs` of each adapter does.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use wardroom::base::Backoff;

use crate::RetrySchedule;

/// A queue of rooms to backfill. `R` is the borrowed type of a room's id, for example `str`; `E` is the type of the
/// events that arrive while their room is queued.
#[derive(Debug)]
pub struct BackfillQueue<R: ToOwned + ?Sized, E> {
    rooms: BTreeMap<R::Owned, QueuedRoom<E>>,
    /// Maximum number of buffered events per room. If more events arrive, the room's oldest events are dropped.
    max_buffered: usize,
    /// Maximum size of the buffered events of all rooms, in bytes.
    max_bytes: usize,
    /// Returns the size of an event, in bytes.
    size: fn(&E) -> usize,
}

#[derive(Debug)]
struct QueuedRoom<E> {
    retry: RetrySchedule,
    /// Events that arrived since the room was queued, in the order of arrival.
    buffered: Vec<E>,
    /// Ids of the messages and reactions that were deleted since the room's backfill began.
    withdrawn: BTreeSet<String>,
    /// Whether a backfill of the room is running.
    reading: bool,
    /// Whether the room was queued again during its running backfill.
    requeued: bool,
    /// Whether a backfill of the room failed since the room was last queued.
    attempted: bool,
    /// Whether buffered events were dropped since the room's last backfill began.
    dropped: bool,
}

impl<E> Default for QueuedRoom<E> {
    fn default() -> Self {
        Self {
            retry: RetrySchedule::default(),
            buffered: Vec::new(),
            withdrawn: BTreeSet::new(),
            reading: false,
            requeued: false,
            attempted: false,
            dropped: false,
        }
    }
}

impl<R: ToOwned<Owned: Ord + Clone> + Ord + ?Sized, E> BackfillQueue<R, E> {
    /// Creates an empty queue that buffers at most `max_buffered` events per room. If more events arrive, the queue
    /// drops the room's oldest buffered events. If events can arrive while a backfill of their room is running, the
    /// caller must handle [`BackfillQueue::has_dropped`].
    pub fn new(max_buffered: usize) -> Self {
        Self { rooms: BTreeMap::new(), max_buffered, max_bytes: usize::MAX, size: |_| 0 }
    }

    /// Limits the total size of the buffered events of all rooms to `max_bytes`. `size` returns the size of an event in
    /// bytes. If an event of a room exceeds the limit, the queue drops this room's oldest buffered events.
    #[must_use]
    pub fn max_bytes(mut self, max_bytes: usize, size: fn(&E) -> usize) -> Self {
        (self.max_bytes, self.size) = (max_bytes, size);
        self
    }

    /// Queues a room. If the room waits for a retry, its retry time does not change. If its backfill is running,
    /// another backfill follows.
    pub fn add(&mut self, room: R::Owned) {
        let queued = self.rooms.entry(room).or_default();
        queued.requeued = queued.reading;
        queued.attempted = false;
    }

    /// Queues a room and makes its backfill due at once, even if the room waits for a retry. An adapter calls this
    /// function for each room after it has connected to the server again.
    pub fn add_now(&mut self, room: R::Owned) {
        self.add(room.clone());
        self.rooms.entry(room).or_default().retry.run_now();
    }

    /// Buffers events of a room until its backfill has succeeded. If the room is not queued yet, queues it. If the
    /// buffer is full, drops the room's oldest buffered events. If a backfill of the room is running then, queues
    /// another one, which finds the dropped events.
    pub fn buffer(&mut self, room: R::Owned, events: impl IntoIterator<Item = E>) {
        self.rooms.entry(room.clone()).or_default().buffered.extend(events);
        let mut bytes: usize = self.rooms.values().flat_map(|queued| &queued.buffered).map(self.size).sum();
        let queued = self.rooms.entry(room).or_default();
        let mut excess = 0;
        for event in &queued.buffered {
            if queued.buffered.len() - excess <= self.max_buffered && bytes <= self.max_bytes {
                break;
            }
            bytes -= (self.size)(event);
            excess += 1;
        }
        if excess > 0 {
            queued.buffered.drain(..excess);
            queued.dropped = true;
            queued.requeued = queued.reading;
        }
    }

    /// Returns whether buffered events of a room were dropped since the room's last backfill began. That backfill may
    /// not have found them. In this case do not deliver the events that [`BackfillQueue::finish`] returns: they would
    /// move the room's cursor past the dropped events. The backfill that follows finds all of them.
    pub fn has_dropped(&self, room: &R) -> bool {
        self.rooms.get(room).is_some_and(|queued| queued.dropped)
    }

    /// Returns the rooms whose backfill is due at `now`, without the rooms whose backfill is running.
    pub fn due(&self, now: Instant) -> Vec<R::Owned> {
        let due = |queued: &QueuedRoom<E>| !queued.reading && queued.retry.is_due(now);
        self.rooms.iter().filter(|(_, queued)| due(queued)).map(|(room, _)| room.clone()).collect()
    }

    /// Returns the earliest retry time after `now`; `None` if no room waits for a retry.
    pub fn next_retry(&self, now: Instant) -> Option<Instant> {
        let waiting = self.rooms.values().filter(|queued| !queued.reading);
        waiting.filter_map(|queued| queued.retry.due()).filter(|due| *due > now).min()
    }

    /// Returns the number of running backfills.
    pub fn reading(&self) -> usize {
        self.rooms.values().filter(|queued| queued.reading).count()
    }

    /// Returns `true` if the backfill of every queued room has failed at least once since that room was last queued.
    /// Returns `true` for an empty queue, too.
    pub fn all_attempted(&self) -> bool {
        self.rooms.values().all(|queued| queued.attempted)
    }

    /// Returns whether a room is queued. A room whose backfill is running is queued, too.
    pub fn contains(&self, room: &R) -> bool {
        self.rooms.contains_key(room)
    }

    /// Returns the buffered events of a room; empty if the room is not queued. [`BackfillQueue::finish`] clears the
    /// buffer.
    pub fn buffered(&self, room: &R) -> &[E] {
        self.rooms.get(room).map_or(&[], |queued| &queued.buffered)
    }

    /// Handles the deletion of a message or reaction. If the room is not queued, changes nothing and returns `false`.
    /// Otherwise removes the event for which `matches` returns `true` from the room's buffer, records its `id` for
    /// [`BackfillQueue::is_withdrawn`], and returns `true`. If a backfill of the room is running, queues another one,
    /// because the running backfill may have read the deleted event already.
    pub fn withdraw(&mut self, room: &R, id: String, matches: impl Fn(&E) -> bool) -> bool {
        let Some(queued) = self.rooms.get_mut(room) else { return false };
        queued.requeued = queued.reading;
        queued.attempted = false;
        queued.buffered.retain(|event| !matches(event));
        queued.withdrawn.insert(id);
        true
    }

    /// Returns whether [`BackfillQueue::withdraw`] was called with this event id since the room's last backfill began.
    pub fn is_withdrawn(&self, room: &R, id: &str) -> bool {
        self.rooms.get(room).is_some_and(|queued| queued.withdrawn.contains(id))
    }

    /// Records that a backfill of a room began. While the backfill is running, [`BackfillQueue::due`] does not return
    /// the room.
    pub fn begin(&mut self, room: &R) {
        if let Some(queued) = self.rooms.get_mut(room) {
            (queued.reading, queued.requeued, queued.dropped) = (true, false, false);
            queued.withdrawn.clear();
        }
    }

    /// Records that the result of a room's backfill cannot be used, and makes another backfill of the room due at once.
    /// Called, for example, if the author of a buffered event must be looked up before the backfill.
    pub fn restart(&mut self, room: &R) {
        if let Some(queued) = self.rooms.get_mut(room) {
            queued.reading = false;
            queued.retry.run_now();
        }
    }

    /// Records that a room's backfill succeeded, and returns the room's buffered events. Removes the room from the
    /// queue, unless the room was queued again during the backfill.
    pub fn finish(&mut self, room: &R) -> Vec<E> {
        let Some(queued) = self.rooms.get_mut(room) else { return Vec::new() };
        let buffered = std::mem::take(&mut queued.buffered);
        match queued.requeued {
            true => *queued = QueuedRoom::default(),
            false => drop(self.rooms.remove(room)),
        }
        buffered
    }

    /// Records that a room's backfill failed, and schedules the retry. `requested` is the delay that the server
    /// requested, for example because of a rate limit. The retry is due after the backoff or after `requested`,
    /// whichever is longer. A requested delay postpones the backfills of all other queued rooms, too. Returns `true`
    /// for the first failure since the room's last successful backfill, and `false` for later failures. The caller logs
    /// only the first failure.
    pub fn record_failure(&mut self, room: &R, now: Instant, requested: Option<Duration>) -> bool {
        if let Some(requested) = requested {
            self.delay_all(now, requested.min(Backoff::MAX_REQUESTED));
        }
        let Some(queued) = self.rooms.get_mut(room) else { return false };
        (queued.reading, queued.attempted) = (false, true);
        queued.retry.record_failure(now, requested)
    }

    /// Postpones every backfill that is due before `now + requested` to that time.
    fn delay_all(&mut self, now: Instant, requested: Duration) {
        for queued in self.rooms.values_mut() {
            queued.retry.delay_until(now + requested);
        }
    }

    /// Removes a room and its buffered events from the queue without a backfill.
    pub fn remove(&mut self, room: &R) {
        self.rooms.remove(room);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> BackfillQueue<str, u32> {
        BackfillQueue::new(usize::MAX)
    }

    fn id(room: &str) -> String {
        room.to_owned()
    }

    #[test]
    fn a_room_that_fails_keeps_its_events_and_is_retried_with_growing_delays() {
        let mut queue = queue();
        queue.add(id("a"));
        queue.buffer(id("a"), [1]);
        let mut now = Instant::now();
        assert_eq!(queue.due(now), ["a"]);
        assert!(!queue.all_attempted() && queue.record_failure("a", now, None), "the first failure is reported");
        assert!(queue.all_attempted());
        let first = queue.next_retry(now).expect("a retry") - now;
        for _ in 0..8 {
            assert!(queue.due(now).is_empty(), "no busy loop");
            now = queue.next_retry(now).expect("a retry");
            assert_eq!(queue.due(now), ["a"]);
            assert!(!queue.record_failure("a", now, None), "later failures are not reported");
        }
        assert!(queue.next_retry(now).expect("a retry") - now > first * 10);
        queue.add(id("a"));
        queue.buffer(id("a"), [2]);
        assert!(queue.due(now).is_empty(), "a new event does not end the delay");
        assert_eq!(queue.buffered("a"), [1, 2]);
        assert_eq!(queue.finish("a"), [1, 2]);
        assert!(!queue.contains("a"));
    }

    #[test]
    fn a_room_that_is_queued_while_it_is_read_is_read_again() {
        let mut queue = queue();
        queue.add(id("a"));
        queue.begin("a");
        assert!(queue.due(Instant::now()).is_empty() && queue.reading() == 1);
        queue.add(id("a"));
        queue.buffer(id("a"), [1]);
        assert_eq!(queue.finish("a"), [1]);
        assert_eq!(queue.due(Instant::now()), ["a"]);
        queue.begin("a");
        queue.buffer(id("a"), [2]);
        assert_eq!(queue.finish("a"), [2]);
        assert!(!queue.contains("a"), "a buffered event alone is no reason for another read");
    }

    #[test]
    fn a_failing_room_does_not_delay_another_and_a_rate_limit_delays_all() {
        let mut queue = queue();
        let now = Instant::now();
        queue.add(id("a"));
        queue.record_failure("a", now, Some(Duration::from_secs(60)));
        assert!(queue.next_retry(now).expect("a retry") >= now + Duration::from_secs(60), "the requested delay");
        queue.add(id("b"));
        assert_eq!(queue.due(now), ["b"]);
        queue.delay_all(now, Duration::from_secs(5));
        assert!(queue.due(now + Duration::from_secs(4)).is_empty());
        assert_eq!(queue.due(now + Duration::from_secs(5)), ["b"]);
        queue.remove("a");
        assert_eq!(queue.due(now + Duration::from_secs(99)), ["b"]);
        queue.remove("b");
        assert_eq!(queue.next_retry(now), None);
    }

    #[test]
    fn a_new_connection_makes_a_waiting_room_due() {
        let (mut queue, now) = (queue(), Instant::now());
        queue.add(id("a"));
        queue.record_failure("a", now, None);
        queue.add_now(id("a"));
        assert_eq!(queue.due(now), ["a"]);
    }

    #[test]
    fn a_withdrawn_event_is_dropped_and_its_room_is_read_again() {
        let mut queue = queue();
        assert!(!queue.withdraw("a", id("1"), |event| *event == 1), "nothing to read back");
        queue.add(id("a"));
        queue.begin("a");
        queue.buffer(id("a"), [1, 2]);
        assert!(queue.withdraw("a", id("1"), |event| *event == 1));
        assert!(queue.is_withdrawn("a", "1") && !queue.is_withdrawn("a", "2"));
        assert_eq!(queue.finish("a"), [2]);
        assert!(queue.contains("a") && !queue.is_withdrawn("a", "1"));
    }

    #[test]
    fn a_full_buffer_drops_the_oldest_events() {
        let mut queue: BackfillQueue<str, u32> = BackfillQueue::new(3);
        for number in 0..5 {
            queue.buffer(id("a"), [number]);
        }
        assert_eq!(queue.buffered("a"), [2, 3, 4]);
        // A backfill that begins now finds the dropped events.
        queue.begin("a");
        assert!(!queue.has_dropped("a"));
        assert_eq!(queue.finish("a"), [2, 3, 4]);
        assert!(!queue.contains("a") && !queue.has_dropped("a"));
    }

    #[test]
    fn the_events_of_all_rooms_are_limited_in_size() {
        let mut queue: BackfillQueue<str, usize> = BackfillQueue::new(10).max_bytes(100, |event| *event);
        queue.buffer(id("a"), [60]);
        queue.buffer(id("b"), [20, 20]);
        assert!(!queue.has_dropped("a") && !queue.has_dropped("b"));
        queue.buffer(id("b"), [10]);
        assert!(queue.has_dropped("b") && !queue.has_dropped("a"), "the room of the new event drops its oldest ones");
        assert_eq!((queue.buffered("a"), queue.buffered("b")), (&[60][..], &[20, 10][..]));
        queue.buffer(id("c"), [101]);
        assert!(queue.has_dropped("c") && queue.buffered("c").is_empty());
    }

    #[test]
    fn a_room_whose_events_are_dropped_while_it_is_read_is_read_again() {
        let mut queue: BackfillQueue<str, u32> = BackfillQueue::new(2);
        queue.add(id("a"));
        queue.begin("a");
        queue.buffer(id("a"), [1, 2]);
        assert!(!queue.has_dropped("a"));
        queue.buffer(id("a"), [3]);
        assert!(queue.has_dropped("a"), "the running backfill may not find the dropped event");
        queue.finish("a");
        assert_eq!(queue.due(Instant::now()), ["a"]);
        queue.begin("a");
        assert!(!queue.has_dropped("a"), "the second backfill finds it");
        // The same applies if the backfill fails.
        queue.buffer(id("a"), [4, 5, 6]);
        queue.record_failure("a", Instant::now(), None);
        assert!(queue.contains("a") && queue.has_dropped("a"));
        queue.begin("a");
        assert!(!queue.has_dropped("a"));
    }
}
