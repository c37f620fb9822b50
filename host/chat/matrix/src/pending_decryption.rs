//! Events that could not be decrypted. The bot stores them until their keys arrive, and asks their senders to send them
//! again.
//!
//! Invariant: an event is on disk before its room's cursor moves past it. The event delays no other event,
//! and is stored until its key arrives or until the event is too old to be handled.
//! Invariant: a repeated message is handled once. If an event's sender was asked to send it again and has sent the same
//! text, the event is skipped when its key arrives.
//! Not here: decryption (`decryption`), and writing to the inbox (`delivery`).

mod resend_request;
mod retention;

use std::{
    collections::{BTreeSet, HashMap, HashSet},
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
    /// Hashes of the texts that the sender has sent since the bot asked for the event again.
    #[serde(rename = "said")]
    later_texts: BTreeSet<String>,
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
        Self { file, events: events.unwrap_or_default(), requests: HashMap::new() }
    }

    /// Stores events of a room that could not be decrypted, and writes them to disk before it returns. Leaves out
    /// events that were sent more than a day ago, and events that are stored already. If the room or the account then
    /// has too many stored events, drops the oldest.
    ///
    /// # Errors
    /// The file cannot be written. In this case the caller must not move the room's cursor past these events.
    pub(crate) fn add(&mut self, room: &RoomId, events: Vec<(RawEvent, DecryptionFailure)>) -> Result<(), MatrixError> {
        let (now, before) = (Timestamp::now(), self.events.len());
        for (raw, failure) in events {
            let Some((event, at)) = room_event::id_and_time(&raw) else { continue };
            let Ok(Some(sender)) = raw.get_field::<OwnedUserId>("sender") else { continue };
            if now.as_second() - at.as_second() > MAX_AGE || self.events.iter().any(|known| known.event == event) {
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
                later_texts: BTreeSet::new(),
                due: after_grace_period(),
                failure,
            });
        }
        if self.events.len() == before {
            return Ok(());
        }
        let dropped = self.drop_excess(room);
        if dropped > 0 {
            tracing::warn!(
                %room,
                dropped,
                "too many undecrypted messages; the oldest ones were dropped and are not handled, even if their keys arrive"
            );
        }
        self.save().map_err(|error| {
            MatrixError::local("the file of messages that wait for their decryption keys cannot be written", &error)
        })
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

    /// Records the texts of messages by people who were asked to send an event again, because such a message may repeat
    /// that event. The texts are on disk when this function returns.
    ///
    /// # Errors
    /// The file cannot be written.
    pub(crate) fn record_messages(&mut self, room: &RoomId, messages: &[Incoming]) -> Result<(), MatrixError> {
        let mut changed = false;
        for message in messages.iter().filter(|message| message.reaction.is_none()) {
            let may_be_repeated = |event: &&mut PendingEvent| {
                event.asked
                    && event.room == room
                    && event.sender.as_str() == message.sender.id
                    && event.event.as_str() != message.event
            };
            for event in self.events.iter_mut().filter(may_be_repeated) {
                changed |= event.later_texts.insert(hash(&message.text));
            }
        }
        if !changed {
            return Ok(());
        }
        self.save().map_err(|error| {
            MatrixError::local("the file of messages that wait for their decryption keys cannot be updated", &error)
        })
    }

    /// Returns the stored events that were encrypted in one of these Megolm sessions; all stored events if `sessions`
    /// is `None`.
    pub(crate) fn waiting_for(&self, sessions: Option<&HashSet<String>>) -> Vec<PendingEvent> {
        let needs_key = |event: &&PendingEvent| sessions.is_none_or(|sessions| sessions.contains(&event.session));
        self.events.iter().filter(needs_key).cloned().collect()
    }

    /// Returns whether an event's sender was asked to send it again and has sent this text since.
    pub(crate) fn was_sent_again(&self, event: &OwnedEventId, text: &str) -> bool {
        self.events.iter().any(|known| known.event == *event && known.later_texts.contains(&hash(text)))
    }

    /// Removes events that were handled or skipped.
    pub(crate) fn remove(&mut self, events: &HashSet<OwnedEventId>) {
        let before = self.events.len();
        self.events.retain(|event| !events.contains(&event.event));
        self.save_if(self.events.len() != before);
    }

    /// Writes the file if `changed` is true. A failed write is only logged, because a host that restarts with the old
    /// file makes the same change again.
    fn save_if(&self, changed: bool) {
        if changed && let Err(error) = self.save() {
            tracing::warn!(path = %self.file.display(), %error, "cannot write the file of undecrypted messages; retrying at the next change of the file; hint: free disk space or repair the folder's permissions");
        }
    }

    fn save(&self) -> std::io::Result<()> {
        folder::write_json(&self.file, &self.events)
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
