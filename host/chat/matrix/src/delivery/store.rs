//! Stores messages of a room in the inbox, and notices to the senders who cannot read the answers on their devices.
//!
//! Invariant: only a message that the inbox stored as a new command causes a notice. Other messages, for example a
//! conversation that contains the name of a command, cause none.

use std::collections::BTreeMap;

use matrix_sdk::ruma::{OwnedUserId, RoomId, UserId};
use wardroom::{
    Timestamp,
    adapter::{Incoming, Position},
    base::Text,
};
use wardroom_account::InboxWriter;

use crate::device_notice;

/// The senders for whose devices the bot does not encrypt, by the id of the message's event.
pub(super) type UnverifiedSenders = BTreeMap<String, OwnedUserId>;

/// Stores messages and the room's new cursor, and the notices to senders with unverified devices. `messages` is sorted
/// oldest first. The cursor moves together with the last messages. After a crash in between, the inbox deduplicates the
/// messages, and a notice that was not stored follows the next command of its sender.
pub(super) async fn receive(
    inbox: &InboxWriter,
    room: &RoomId,
    messages: Vec<Incoming>,
    unverified: &UnverifiedSenders,
    cursor: Option<Position>,
    now: Timestamp,
) {
    let mut batch = Vec::new();
    for message in messages {
        let Some(owner) = unverified.get(&message.event) else {
            batch.push(message);
            continue;
        };
        if !batch.is_empty() {
            inbox.receive(room.as_str(), std::mem::take(&mut batch), None).await;
        }
        // The inbox returns only the number of stored messages, so this message is stored alone.
        if inbox.receive(room.as_str(), vec![message.clone()], None).await > 0 {
            notify(inbox, room, owner, &message, now).await;
        }
    }
    if !batch.is_empty() || cursor.is_some() {
        inbox.receive(room.as_str(), batch, cursor).await;
    }
}

/// Stores the notice to the sender of a command. The outbox sends one notice a day to each person in a room.
async fn notify(inbox: &InboxWriter, room: &RoomId, owner: &UserId, message: &Incoming, now: Timestamp) {
    let thread = message.thread.clone().unwrap_or_else(|| message.event.clone());
    let (key, text) = (device_notice::key(owner, now), Text::lines(device_notice::TEXT));
    if let Err(error) = inbox.inbox().say_once(room.as_str(), &key, text, Some(thread)).await {
        tracing::error!(%room, event_id = message.event, %error, "cannot store the notice to the owner of an unverified device; retrying at the owner's next command");
    }
}

#[cfg(test)]
mod tests {
    use std::{collections::HashSet, sync::Arc, time::Duration};

    use async_trait::async_trait;
    use matrix_sdk::ruma::{room_id, user_id};
    use parking_lot::Mutex;
    use wardroom::{adapter::Inbox, model::Person, store::StoreError};

    use super::*;

    /// An inbox that stores each command once. A command begins with `!`.
    #[derive(Default)]
    struct MemoryInbox {
        ids: Mutex<HashSet<String>>,
        stored: Mutex<Vec<String>>,
        cursors: Mutex<Vec<Position>>,
        notices: Mutex<Vec<(String, Option<String>)>>,
    }

    #[async_trait]
    impl Inbox for MemoryInbox {
        async fn enter(&self, _: &str, now: Timestamp) -> Result<Position, StoreError> {
            Ok(Position { event: None, at: now })
        }

        async fn cursor(&self, _: &str) -> Result<Option<Position>, StoreError> {
            Ok(self.cursors.lock().last().cloned())
        }

        async fn receive(&self, _: &str, new: Vec<Incoming>, cursor: Option<Position>) -> Result<usize, StoreError> {
            let is_new = |one: &Incoming| one.text.starts_with('!') && self.ids.lock().insert(one.event.clone());
            let new: Vec<String> = new.into_iter().filter(is_new).map(|one| one.event).collect();
            let count = new.len();
            self.stored.lock().extend(new);
            self.cursors.lock().extend(cursor);
            Ok(count)
        }

        fn handles(&self, _: &str, _: &Incoming) -> bool {
            true
        }

        async fn say_once(&self, _: &str, key: &str, _: Text, thread: Option<String>) -> Result<(), StoreError> {
            let mut notices = self.notices.lock();
            if notices.iter().all(|(other, _)| other != key) {
                notices.push((key.to_owned(), thread));
            }
            Ok(())
        }

        fn is_admin(&self, _: &str) -> bool {
            false
        }

        async fn until_idle(&self) {}
    }

    #[tokio::test]
    async fn a_person_gets_one_notice_and_only_for_a_new_command() {
        let inbox = Arc::new(MemoryInbox::default());
        let writer = InboxWriter::new(inbox.clone());
        let at = Timestamp::UNIX_EPOCH;
        let message = |event: &str, text: &str| Incoming::new(event, Person::named_by_id("@alice:x"), text, at);
        let messages = [
            message("$talk", "deny it as you like"),
            message("$verified", "!jobs"),
            message("$first", "!whoami"),
            message("$second", "!jobs"),
            message("$last", "!roles"),
        ];
        let unverified: UnverifiedSenders = ["$talk", "$first", "$second"]
            .map(|event| (event.to_owned(), user_id!("@alice:x").to_owned()))
            .into_iter()
            .collect();
        let cursor = Position { event: Some("$last".into()), at };
        let room = room_id!("!ops:x");
        // A conversation is no command.
        receive(&writer, room, messages[..1].to_vec(), &unverified, None, at).await;
        assert!(inbox.notices.lock().is_empty());
        // The second delivery, for example after a crash, contains no new command.
        for _ in 0..2 {
            receive(&writer, room, messages.to_vec(), &unverified, Some(cursor.clone()), at).await;
            assert_eq!(*inbox.stored.lock(), ["$verified", "$first", "$second", "$last"]);
            let notices = inbox.notices.lock();
            assert_eq!(notices.len(), 1, "{notices:?}");
            assert_eq!(notices[0].1.as_deref(), Some("$first"));
        }
        assert_eq!(inbox.cursors.lock().len(), 2);
        // An empty batch moves the cursor, too.
        receive(&writer, room, Vec::new(), &unverified, Some(cursor), at).await;
        assert_eq!(inbox.cursors.lock().len(), 3);
        // The next day.
        let later = [message("$talk", "!jobs")].to_vec();
        receive(&writer, room, later, &unverified, None, at + Duration::from_secs(86_400)).await;
        assert_eq!(inbox.notices.lock().len(), 2);
    }
}
