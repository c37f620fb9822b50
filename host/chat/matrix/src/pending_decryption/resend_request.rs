//! Requests that the bot sends to people whose messages it cannot decrypt: when, how often and with which text it asks
//! them to send a message again.

use std::time::{Duration, Instant};

use matrix_sdk::ruma::{OwnedEventId, OwnedRoomId};
use wardroom::{Timestamp, base::Text};

use super::{MAX_AGE, PendingDecryption, PendingEvent, after_grace_period};
use crate::{decryption::DecryptionFailure, room_event};

/// Maximum number of requests to one sender about messages with the same missing key. The number is small, because
/// these messages may not be addressed to the bot.
const MAX_PER_KEY: usize = 2;
/// Maximum number of requests to a person in one room within [`MAX_AGE`]. The limit per key alone is not enough,
/// because a client can use a new key for each message.
pub(super) const MAX_PER_ROOM: usize = 8;

/// A request to a person to send an event again.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ResendRequest {
    pub(crate) room: OwnedRoomId,
    /// The event that could not be decrypted.
    pub(crate) event: OwnedEventId,
    /// The root event of the thread in which the sender is asked.
    pub(crate) thread: OwnedEventId,
    pub(crate) text: Text,
}

impl PendingDecryption {
    /// Returns the requests that are due, and records in memory that the senders were asked. If a sender has received
    /// the maximum number of requests, returns no request for the event. Removes stored events that were sent more than
    /// [`MAX_AGE`] ago. The caller stores the changes after the requests are in the outbox.
    pub(crate) fn take_due_requests(&mut self, now: Instant) -> Vec<ResendRequest> {
        // Remove events and requests that are too old.
        self.remove_expired(Timestamp::now());
        self.requests.retain(|_, times| {
            times.retain(|at| now.saturating_duration_since(*at).as_secs() <= MAX_AGE.unsigned_abs());
            !times.is_empty()
        });
        // Collect the requests that are due.
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
                self.is_changed = true;
            } else {
                // The sender was asked often enough. The event stays stored until its key arrives.
                self.events[index].due = now + Duration::from_secs(MAX_AGE.unsigned_abs());
            }
        }
        due
    }

    /// Makes the request for an event due again after the grace period. Called if the request could not be put into the
    /// outbox.
    pub(crate) fn retry_request(&mut self, event: &OwnedEventId) {
        if let Some(event) = self.events.iter_mut().find(|known| known.event == *event) {
            (event.asked, event.due) = (false, after_grace_period());
        }
    }

    /// Returns the time until the next request to a sender is due or the next stored event is too old; `None` if no
    /// event is stored. `now` and `today` are the present time of both clocks.
    pub(crate) fn time_until_due(&self, now: Instant, today: Timestamp) -> Option<Duration> {
        let requests = self.events.iter().filter(|event| !event.asked);
        let request_in = requests.map(|event| event.due.saturating_duration_since(now)).min();
        // An event is removed when its age exceeds the maximum, so add one second.
        let expiry = self.events.iter().map(|event| event.seconds_left(today) + 1).min();
        let expires_in = expiry.map(|seconds| Duration::from_secs(seconds.max(0).unsigned_abs()));
        request_in.into_iter().chain(expires_in).min()
    }
}

/// Returns the text of a request. `is_repeated` is true if the sender was asked before about an event with the same
/// key.
fn request_text(failure: DecryptionFailure, is_repeated: bool) -> Text {
    let mut text = Text::lines(match (failure, is_repeated) {
        (DecryptionFailure::Damaged, _) => {
            "I could not decrypt your message, because it is damaged. If it was for me, please send it again."
        }
        (_, false) => "I could not decrypt your message. If it was for me, please send it again.",
        (_, true) => {
            "I still cannot decrypt your messages. If they are for me, please write from another device, or restart your client."
        }
    });
    if failure == DecryptionFailure::KeyWithheld {
        text.push_lines(
            "Your client does not share its encryption keys with me. It may require that my device or your device is verified.",
        );
    }
    text
}
