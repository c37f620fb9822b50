//! Events that could not be decrypted. The bot stores them until their keys arrive, and asks their senders to send them
//! again.
//!
//! Invariant: an event is on disk before its room's cursor moves past it. The event delays no other event,
//! and is stored until its key arrives or until the event is too old to be handled.
//! Invariant: a repeated message is handled once. If an event's sender has sent the same text again, the event is
//! skipped when its key arrives.
//! Invariant: the file is written at most once for the events of one room in a sync ([`PendingDecryption::store`]).
//! Not here: decryption (`decryption`), and writing to the inbox (`delivery`).

mod resend_request;
mod retention;

use std::{
    collections::{HashMap, HashSet},
    path::PathBuf,
    time::{Duration, Instant},
};

use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId, OwnedUserId, RoomId};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use wardroom::{Timestamp, adapter::Incoming, store::Reaction};

use crate::{
    Config,
    decryption::DecryptionFailure,
    error::MatrixError,
    folder,
    room_event::{self, RawEvent},
};

/// Delay before an event's sender is asked to send it again. The key often arrives a moment after the event.
const GRACE_PERIOD: Duration = Duration::from_secs(5);
/// Maximum age of a stored event, in seconds. An older event is removed, because the engine does not handle older
/// messages.
const MAX_AGE: i64 = 24 * 60 * 60;
/// Maximum number of recorded texts per event. If the event's sender sends more texts, the event is dropped, because
/// the bot could no longer recognize a repetition.
const MAX_LATER_TEXTS: usize = 50;

/// An event that could not be decrypted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PendingEvent {
    pub(crate) room: OwnedRoomId,
    pub(crate) event: OwnedEventId,
    pub(crate) raw: RawEvent,
    sender: OwnedUserId,
    /// The time at which the event was sent, by the clock of the sender's server. A time in the future is replaced by
    /// the present time.
    at: Timestamp,
    /// The id of the Megolm session whose key decrypts the event.
    session: String,
    /// Whether the sender was asked to send the event again.
    asked: bool,
    /// Hashes of the texts that the sender has sent after the event, or since the bot asked for the event again.
    #[serde(rename = "said")]
    later_texts: HashSet<String>,
    /// The time at which the sender is asked to send the event again.
    #[serde(skip, default = "after_grace_period")]
    due: Instant,
    #[serde(skip, default = "key_missing")]
    failure: DecryptionFailure,
}

#[derive(Debug)]
pub(crate) struct PendingDecryption {
    file: PathBuf,
    /// The events in the order of arrival.
    events: Vec<PendingEvent>,
    /// Whether `events` differs from the file.
    is_changed: bool,
    /// The times at which a person was asked to send a message again, by room and person.
    requests: HashMap<(OwnedRoomId, OwnedUserId), Vec<Instant>>,
}

impl PendingDecryption {
    /// Loads the stored events from an account's folder.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("undecrypted.json");
        let events = folder::read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(path = %file.display(), %error, "cannot read the file of undecrypted messages; these messages are not handled, even if their keys arrive; hint: ask people in encrypted rooms to send unanswered commands again");
            None
        });
        Self { file, events: events.unwrap_or_default(), is_changed: false, requests: HashMap::new() }
    }

    /// Adds events of a room that could not be decrypted. Leaves out events that were sent more than a day ago, and
    /// events that are stored already. If the room or the account then has too many stored events, drops the oldest.
    /// The caller must not move the room's cursor past these events before [`PendingDecryption::store`] has succeeded.
    pub(crate) fn add(&mut self, room: &RoomId, events: Vec<(RawEvent, DecryptionFailure)>) {
        let (now, before) = (Timestamp::now(), self.events.len());
        let mut known: HashSet<OwnedEventId> = self.events.iter().map(|known| known.event.clone()).collect();
        for (raw, failure) in events {
            let Some((event, at)) = room_event::id_and_time(&raw) else { continue };
            let Ok(Some(sender)) = raw.get_field::<OwnedUserId>("sender") else { continue };
            if now.as_second() - at.as_second() > MAX_AGE || !known.insert(event.clone()) {
                continue;
            }
            self.events.push(PendingEvent {
                room: room.to_owned(),
                event,
                session: room_event::session_and_thread(&raw).0,
                raw,
                sender,
                at: at.min(now),
                asked: false,
                later_texts: HashSet::new(),
                due: after_grace_period(),
                failure,
            });
        }
        if self.events.len() == before {
            return;
        }
        self.is_changed = true;
        let dropped = self.drop_excess(room);
        if dropped > 0 {
            tracing::warn!(
                %room,
                dropped,
                "too many undecrypted messages; the oldest ones were dropped and are not handled, even if their keys arrive"
            );
        }
    }

    /// Removes the stored events that were deleted by a redaction among `messages`. The bot then neither handles a
    /// deleted event nor asks its sender to send it again.
    pub(crate) fn remove_withdrawn(&mut self, room: &RoomId, messages: &[Incoming]) {
        let withdrawn = |message: &Incoming| match &message.reaction {
            Some(Reaction::Withdrawn { given }) => OwnedEventId::try_from(given.as_str()).ok(),
            _ => None,
        };
        let withdrawn: HashSet<_> = messages.iter().filter_map(withdrawn).collect();
        let is_here = |event: &&PendingEvent| event.room == room && withdrawn.contains(&event.event);
        self.remove(&self.events.iter().filter(is_here).map(|event| event.event.clone()).collect());
    }

    /// Records the texts of messages by the senders of stored events, because such a message may repeat an event. A
    /// message counts if the bot has asked for the event again, or if the message follows the event in the same thread.
    pub(crate) fn record_messages(&mut self, room: &RoomId, messages: &[Incoming]) {
        let mut by_sender: HashMap<&str, Vec<(&Incoming, String)>> = HashMap::new();
        for message in messages.iter().filter(|message| message.reaction.is_none()) {
            by_sender.entry(&message.sender.id).or_default().push((message, hash(&message.text)));
        }
        for event in self.events.iter_mut().filter(|event| event.room == room) {
            let Some(messages) = by_sender.get(event.sender.as_str()) else { continue };
            // The server of the sender states both times.
            let sent_at = room_event::id_and_time(&event.raw).map_or(event.at, |(_, at)| at);
            let thread = room_event::session_and_thread(&event.raw).1.map(|root| root.to_string());
            for (message, text) in messages {
                if event.has_too_many_texts() {
                    break;
                }
                let follows = sent_at <= message.at && thread == message.thread;
                if (event.asked || follows) && event.event.as_str() != message.event {
                    self.is_changed |= event.later_texts.insert(text.clone());
                }
            }
        }
    }

    /// Removes the stored events that are too old, and those whose sender has sent too many other texts since.
    pub(crate) fn remove_outdated(&mut self) {
        self.remove_expired(Timestamp::now());
        self.remove_where(|event| {
            if event.has_too_many_texts() {
                tracing::info!(room = %event.room, event_id = %event.event, "dropped an undecrypted message, because its sender has sent many other messages since; the message is not handled, even if its key arrives");
            }
            event.has_too_many_texts()
        });
    }

    /// Returns the stored events that were encrypted in one of these Megolm sessions; all stored events if `sessions`
    /// is `None`.
    pub(crate) fn waiting_for(&self, sessions: Option<&HashSet<String>>) -> Vec<PendingEvent> {
        let needs_key = |event: &&PendingEvent| sessions.is_none_or(|sessions| sessions.contains(&event.session));
        self.events.iter().filter(needs_key).cloned().collect()
    }

    /// Returns whether an event's sender has sent this text again, or has sent too many texts to tell.
    pub(crate) fn was_sent_again(&self, event: &OwnedEventId, text: &str) -> bool {
        let is_repeated = |known: &PendingEvent| known.has_too_many_texts() || known.later_texts.contains(&hash(text));
        self.events.iter().any(|known| known.event == *event && is_repeated(known))
    }

    /// Removes events that were handled or skipped.
    pub(crate) fn remove(&mut self, events: &HashSet<OwnedEventId>) {
        self.remove_where(|event| events.contains(&event.event));
    }

    fn remove_expired(&mut self, now: Timestamp) {
        self.remove_where(|event| event.seconds_left(now) < 0);
    }

    fn remove_where(&mut self, is_removed: impl Fn(&PendingEvent) -> bool) {
        let before = self.events.len();
        self.events.retain(|event| !is_removed(event));
        self.is_changed |= self.events.len() != before;
    }

    /// Writes the file if an event was added, changed or removed since the last successful write.
    ///
    /// # Errors
    /// The file cannot be written. The next call tries again.
    pub(crate) fn store(&mut self) -> Result<(), MatrixError> {
        if self.is_changed {
            folder::write_json(&self.file, &self.events).map_err(|error| {
                MatrixError::local("the file of messages that wait for their decryption keys cannot be written", &error)
            })?;
            self.is_changed = false;
        }
        Ok(())
    }

    /// Same as [`PendingDecryption::store`], but only logs a failed write, because a host that restarts with the old
    /// file makes the same change again.
    pub(crate) fn store_or_log(&mut self) {
        if let Err(error) = self.store() {
            tracing::warn!(path = %self.file.display(), %error, "cannot write the file of undecrypted messages; retrying at the next change of the file; hint: free disk space or repair the folder's permissions");
        }
    }
}

impl PendingEvent {
    fn has_too_many_texts(&self) -> bool {
        self.later_texts.len() > MAX_LATER_TEXTS
    }

    /// Returns the number of seconds until the event is too old; negative if it is too old.
    fn seconds_left(&self, now: Timestamp) -> i64 {
        self.at.as_second() + MAX_AGE - now.as_second()
    }
}

fn hash(text: &str) -> String {
    hex::encode(&Sha256::digest(text.trim())[..16])
}

fn after_grace_period() -> Instant {
    Instant::now() + GRACE_PERIOD
}

fn key_missing() -> DecryptionFailure {
    DecryptionFailure::KeyMissing
}

#[cfg(test)]
mod tests;
