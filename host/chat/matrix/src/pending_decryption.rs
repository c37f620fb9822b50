//! Events that could not be decrypted: kept until their key arrives, while their senders are asked to send them again.
//!
//! Architecture Invariant: an event is on disk before its room's mark moves past it. It delays no other event and is not lost: it
//! is kept until its key arrives or until it is too old to be handled.
//! Architecture Invariant: a repeated message is handled once. An event that is decrypted after its sender was asked is skipped
//! where the sender has sent the same text since.
//! Not here: decryption (`decryption`), and the inbox (`delivery`).

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

/// How long a key may take before its event's sender is asked. It often arrives a moment after the event.
const GRACE_PERIOD: Duration = Duration::from_secs(5);
/// How long an event is kept, in seconds. The engine handles no older message.
const MAX_AGE: i64 = 24 * 60 * 60;

/// An event that could not be decrypted.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct PendingEvent {
    pub(crate) room: OwnedRoomId,
    pub(crate) event: OwnedEventId,
    pub(crate) raw: RawEvent,
    sender: OwnedUserId,
    /// When it was sent by its server's clock, at most the present time.
    at: Timestamp,
    /// The session whose key it needs.
    session: String,
    /// Whether its sender was asked to send it again.
    asked: bool,
    /// Hashes of the texts that its sender sent after that.
    #[serde(rename = "said")]
    later_texts: BTreeSet<String>,
    /// When its sender is asked.
    #[serde(skip, default = "after_grace_period")]
    due: Instant,
    #[serde(skip, default = "key_missing")]
    failure: DecryptionFailure,
}

/// The events of one account that could not be decrypted.
#[derive(Debug)]
pub(crate) struct PendingDecryption {
    file: PathBuf,
    /// In the order of arrival.
    events: Vec<PendingEvent>,
    /// When each person was asked in a room.
    requests: HashMap<(OwnedRoomId, OwnedUserId), Vec<Instant>>,
}

impl PendingDecryption {
    /// Loads the events of an account's folder.
    pub(crate) fn load(config: &Config) -> Self {
        let file = config.folder.join("undecrypted.json");
        let events = folder::read_json(&file).unwrap_or_else(|error| {
            tracing::warn!(path = %file.display(), %error, "the file of messages that wait for their keys cannot be read; these messages are not handled");
            None
        });
        Self { file, events: events.unwrap_or_default(), requests: HashMap::new() }
    }

    /// Keeps events, on disk when this returns.
    ///
    /// # Errors
    /// The file cannot be written; the mark must not move past these events.
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
                "too many messages cannot be decrypted; the oldest are dropped and are not handled when their keys arrive"
            );
        }
        self.save().map_err(|error| MatrixError::local("messages that cannot be decrypted cannot be kept", &error))
    }

    /// Removes the events that were redacted by these messages: they are neither handled nor asked about.
    pub(crate) fn remove_withdrawn(&mut self, room: &RoomId, messages: &[Incoming]) {
        let withdrawn = |message: &Incoming| match &message.reaction {
            Some(Reaction::Withdrawn { given }) => OwnedEventId::try_from(given.as_str()).ok(),
            _ => None,
        };
        let withdrawn: HashSet<_> = messages.iter().filter_map(withdrawn).collect();
        let is_here = |event: &&PendingEvent| event.room == room && withdrawn.contains(&event.event);
        self.remove(&self.events.iter().filter(is_here).map(|event| event.event.clone()).collect());
    }

    /// Records the texts of messages, on disk when this returns, where one may repeat an event whose sender was asked.
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
        self.save().map_err(|error| MatrixError::local("repeated messages cannot be recorded", &error))
    }

    /// The events that need a key of one of these sessions; all events for `None`.
    pub(crate) fn waiting_for(&self, sessions: Option<&HashSet<String>>) -> Vec<PendingEvent> {
        let needs_key = |event: &&PendingEvent| sessions.is_none_or(|sessions| sessions.contains(&event.session));
        self.events.iter().filter(needs_key).cloned().collect()
    }

    /// Whether an event's sender was asked to send it again and has sent this text since.
    pub(crate) fn was_sent_again(&self, event: &OwnedEventId, text: &str) -> bool {
        self.events.iter().any(|known| known.event == *event && known.later_texts.contains(&hash(text)))
    }

    /// Removes events that were handled or skipped.
    pub(crate) fn remove(&mut self, events: &HashSet<OwnedEventId>) {
        let before = self.events.len();
        self.events.retain(|event| !events.contains(&event.event));
        self.save_if(self.events.len() != before);
    }

    /// Saves a change that may be lost: after a crash it is made again.
    fn save_if(&self, changed: bool) {
        if changed && let Err(error) = self.save() {
            tracing::warn!(path = %self.file.display(), %error, "the messages that could not be decrypted cannot be written; retrying with the next change");
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
