//! The rooms whose messages wait, because the bot may not send to them now.
//!
//! Invariant: a message that waits for a permission is only a row of the store. The room is tried again when the
//! adapter reports that a permission is back, and after a growing delay, because not every network reports that.
//! Invariant: the messages of a room keep their order. Rooms do not wait for each other.

use std::{collections::HashMap, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::sync::watch;

use super::{InFlight, Outbox, RowVersion};
use crate::{base::Backoff, store::OutboxRow};

/// The delay before the first attempt to send to a blocked room again.
const FIRST_WAIT: Duration = Duration::from_secs(5);
/// The maximum delay between two attempts to send to a blocked room.
const MAX_WAIT: Duration = Duration::from_secs(600);

/// The bot, the network and the room of the messages.
type Room = (String, String, String);

/// The rooms to which an attempt to send failed because of a missing permission.
#[derive(Debug)]
pub(super) struct BlockedRooms {
    rooms: Mutex<HashMap<Room, Attempts>>,
    /// The first and the maximum delay between two attempts.
    delays: (Duration, Duration),
}

impl Default for BlockedRooms {
    fn default() -> Self {
        Self { rooms: Mutex::default(), delays: (FIRST_WAIT, MAX_WAIT) }
    }
}

/// The attempts to send to a blocked room.
#[derive(Debug)]
struct Attempts {
    backoff: Backoff,
    /// Whether the next attempt must wait.
    is_waiting: bool,
}

fn room_of(row: &OutboxRow) -> Room {
    (row.bot.clone(), row.network.clone(), row.room.clone())
}

impl BlockedRooms {
    /// Returns whether the messages to the room of a row must wait.
    pub(super) fn contains(&self, row: &OutboxRow) -> bool {
        let rooms = self.rooms.lock();
        !rooms.is_empty() && rooms.get(&room_of(row)).is_some_and(|attempts| attempts.is_waiting)
    }

    /// Removes the room of a row after a successful attempt.
    pub(super) fn remove(&self, row: &OutboxRow) {
        let mut rooms = self.rooms.lock();
        if !rooms.is_empty() {
            rooms.remove(&room_of(row));
        }
    }

    /// Records that a row is in no lane, so that a later read of the outbox adds it. `left_over` is true if an earlier
    /// process may have sent the row.
    pub(super) fn put_back(&self, in_flight: &mut InFlight, row: RowVersion, left_over: bool) {
        if left_over {
            in_flight.unsearched.insert(row.0.clone());
        }
        in_flight.queued.remove(&row);
    }
}

impl Outbox {
    /// Records that the messages to the room of a row must wait, and starts a task that ends the wait: when `restored`
    /// reports that a permission of the account is back, or after a delay.
    pub(super) fn block(self: &Arc<Self>, restored: Option<watch::Receiver<u64>>, row: &OutboxRow, reason: &str) {
        let delay = {
            let mut rooms = self.blocked.rooms.lock();
            let (first, longest) = self.blocked.delays;
            let new = || Attempts { backoff: Backoff::new(first, longest), is_waiting: false };
            let attempts = rooms.entry(room_of(row)).or_insert_with(new);
            if std::mem::replace(&mut attempts.is_waiting, true) {
                return;
            }
            if attempts.backoff.retries() == 0 {
                tracing::warn!(
                    bot = row.bot,
                    network = row.network,
                    room = row.room,
                    reason,
                    "the bot may not send to a room; its messages to the room wait until it may; hint: give the bot the permission to send to the room"
                );
            }
            attempts.backoff.next_delay()
        };
        let (outbox, room) = (self.clone(), room_of(row));
        tokio::spawn(async move {
            restored_or_after(restored, delay).await;
            if let Some(attempts) = outbox.blocked.rooms.lock().get_mut(&room) {
                attempts.is_waiting = false;
            }
            outbox.wake();
        });
    }
}

/// Waits until `restored` changes, but at most for `delay`.
async fn restored_or_after(restored: Option<watch::Receiver<u64>>, delay: Duration) {
    let change = async {
        let Some(mut restored) = restored else { return std::future::pending().await };
        // An error means that the adapter has ended. The next attempt then follows after the delay.
        if restored.changed().await.is_err() {
            std::future::pending().await
        }
    };
    // The timeout is the delay, and not a failure.
    let _ = tokio::time::timeout(delay, change).await;
}

#[cfg(test)]
mod tests;
