//! The rooms to which an account may not send now.
//!
//! Invariant: only the adapter changes the list, from what the network says about the account's permissions. A message
//! that the network rejects for another reason does not block its room.
//! Not here: the messages that wait for a permission (`messaging::outbox`).

use std::collections::BTreeMap;

use jiff::Timestamp;
use parking_lot::Mutex;
use tokio::sync::watch;

/// Shares the rooms to which an account may not send between the adapter, which changes the list, and the engine, which
/// reads it. A new list is empty.
///
/// ```
/// use wardroom::adapter::SendPermissions;
///
/// let permissions = SendPermissions::default();
/// permissions.block("!ops:example.org", "messages need the power level 50");
/// assert_eq!(permissions.blocked_rooms().len(), 1);
/// permissions.allow("!ops:example.org");
/// assert!(permissions.reason("!ops:example.org").is_none());
/// ```
#[derive(Debug)]
pub struct SendPermissions {
    blocked: Mutex<BTreeMap<String, BlockedRoom>>,
    /// Counts how often a room was removed from the list.
    restored: watch::Sender<u64>,
}

/// A room to which an account may not send now.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockedRoom {
    /// The id of the room on the network. For a configured room that the account is not in, the configured name.
    pub room: String,
    /// The time at which the adapter noticed that the permission is missing.
    pub since: Timestamp,
    /// The reason, which the reply to `status` shows to admins. It must not contain secrets.
    pub reason: String,
}

impl Default for SendPermissions {
    fn default() -> Self {
        Self { blocked: Mutex::default(), restored: watch::Sender::new(0) }
    }
}

impl SendPermissions {
    /// Records that the account may not send to a room. If that is recorded already, only replaces the reason. Returns
    /// `true` if the room was not in the list.
    pub fn block(&self, room: &str, reason: impl Into<String>) -> bool {
        let mut blocked = self.blocked.lock();
        let since = blocked.get(room).map(|known| known.since);
        let row =
            BlockedRoom { room: room.to_owned(), since: since.unwrap_or_else(Timestamp::now), reason: reason.into() };
        blocked.insert(room.to_owned(), row).is_none()
    }

    /// Records that the account may send to a room. The engine then sends the messages that wait for the permission.
    /// Returns `true` if the room was in the list.
    pub fn allow(&self, room: &str) -> bool {
        let was_blocked = self.blocked.lock().remove(room).is_some();
        if was_blocked {
            self.restored.send_modify(|count| *count += 1);
        }
        was_blocked
    }

    /// Returns the reason why the account may not send to a room; `None` if the room is not in the list.
    pub fn reason(&self, room: &str) -> Option<String> {
        self.blocked.lock().get(room).map(|blocked| blocked.reason.clone())
    }

    /// Returns the rooms to which the account may not send, sorted by room.
    pub fn blocked_rooms(&self) -> Vec<BlockedRoom> {
        self.blocked.lock().values().cloned().collect()
    }

    /// Returns a receiver that is changed each time a room is removed from the list.
    pub(crate) fn restored(&self) -> watch::Receiver<u64> {
        self.restored.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_room_keeps_the_time_at_which_it_was_blocked_and_gets_the_newest_reason() {
        let permissions = SendPermissions::default();
        let mut restored = permissions.restored();
        assert!(permissions.block("ops", "archived"));
        let since = permissions.blocked_rooms()[0].since;
        assert!(!permissions.block("ops", "read-only"));
        let blocked = BlockedRoom { room: "ops".into(), since, reason: "read-only".into() };
        assert_eq!(permissions.blocked_rooms(), [blocked]);
        assert!(!permissions.allow("dev") && !restored.has_changed().unwrap());
        assert!(permissions.allow("ops") && restored.has_changed().unwrap());
        assert_eq!(permissions.reason("ops"), None);
        restored.mark_unchanged();
        assert!(!permissions.allow("ops") && !restored.has_changed().unwrap());
    }
}
