//! Requests to the senders of undecrypted events: when a person is asked, how often, and with which text.

use std::time::{Duration, Instant};

use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId};
use wardroom::{Timestamp, base::Text};

use super::{MAX_AGE, PendingDecryption, PendingEvent, after_grace_period};
use crate::{decryption::DecryptionFailure, room_event};

/// How often a sender is asked about the events of one missing key. A conversation between people can be one key, too.
const MAX_PER_KEY: usize = 2;
/// How often a person is asked in one room within [`MAX_AGE`]. A person can use a new key for every message.
pub(super) const MAX_PER_ROOM: usize = 8;

/// A request to send an event again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResendRequest {
    pub(crate) room: OwnedRoomId,
    /// The event that could not be decrypted.
    pub(crate) event: OwnedEventId,
    /// The root event of the thread in which the sender is asked to send the message again.
    pub(crate) thread: OwnedEventId,
    pub(crate) text: Text,
}

impl PendingDecryption {
    /// Returns the requests that are due and marks their events as asked. Events that are too old to be handled are removed.
    pub(crate) fn take_due_requests(&mut self, now: Instant) -> Vec<ResendRequest> {
        // Remove what is too old.
        let (before, today) = (self.events.len(), Timestamp::now().as_second());
        self.events.retain(|event| today - event.at.as_second() <= MAX_AGE);
        self.save_if(self.events.len() != before);
        self.requests.retain(|_, times| {
            times.retain(|at| now.saturating_duration_since(*at).as_secs() <= MAX_AGE.unsigned_abs());
            !times.is_empty()
        });
        // Collect what is due.
        let mut due = Vec::new();
        for index in 0..self.events.len() {
            let event = &self.events[index];
            if event.asked || event.due > now {
                continue;
            }
            let has_same_key = |other: &&PendingEvent| other.session == event.session && other.sender == event.sender;
            let asked = self.events.iter().filter(has_same_key).filter(|other| other.asked).count();
            let in_room = self.requests.entry((event.room.clone(), event.sender.clone())).or_default();
            if asked < MAX_PER_KEY && in_room.len() < MAX_PER_ROOM {
                in_room.push(now);
                let thread = room_event::session_and_thread(&event.raw).1.unwrap_or_else(|| event.event.clone());
                let text = request_text(event.failure, asked > 0);
                due.push(ResendRequest { room: event.room.clone(), event: event.event.clone(), thread, text });
                self.events[index].asked = true;
            } else {
                // The sender was asked often enough. The event still waits for its key.
                self.events[index].due = now + Duration::from_secs(MAX_AGE.unsigned_abs());
            }
        }
        due
    }

    /// Saves that the senders were asked. A request that could not be sent is due again after the grace period.
    pub(crate) fn finish_requests(&mut self, failed: Option<&OwnedEventId>) {
        if let Some(event) = self.events.iter_mut().find(|event| Some(&event.event) == failed) {
            (event.asked, event.due) = (false, after_grace_period());
        }
        self.save_if(true);
    }

    /// The time until a request is due; `None` where no event waits for one.
    pub(crate) fn time_until_request(&self, now: Instant) -> Option<Duration> {
        let waiting = self.events.iter().filter(|event| !event.asked);
        waiting.map(|event| event.due.saturating_duration_since(now)).min()
    }
}

/// The text of a request. `is_repeated`: the sender was asked before about an event with the same key.
fn request_text(failure: DecryptionFailure, is_repeated: bool) -> Text {
    let mut text = Text::lines(match (failure, is_repeated) {
        (DecryptionFailure::Damaged, _) => {
            "I could not decrypt that, because it is damaged. If it was for me, please send it again."
        }
        (_, false) => "I could not decrypt that. If it was for me, please send it again.",
        (_, true) => {
            "I still cannot decrypt your messages. If they are for me, please write from another device, or restart your client."
        }
    });
    if failure == DecryptionFailure::KeyWithheld {
        text.push_lines(
            "Your client does not share its keys with me. It may require that my device or yours is verified.",
        );
    }
    text
}
