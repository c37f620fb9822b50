//! An event of a room's timeline, with its encryption information.
//!
//! Invariant: a decrypted event is used only as a message of its sender. Memberships and redactions are
//! accepted only from unencrypted events, because the homeserver checks the sender's permission only for these.
//! Not here: decryption (`decryption`), and events that cannot be decrypted (`pending_decryption`).

use std::sync::Arc;

use matrix_sdk::{
    deserialized_responses::{EncryptionInfo, TimelineEvent},
    ruma::{OwnedEventId, OwnedUserId, events::AnySyncTimelineEvent, serde::Raw},
};
use serde_json::Value;
use wardroom::Timestamp;
use wardroom_account::timestamp;

/// The types of the events that `convert` converts to messages, and of encrypted events.
const HANDLED_TYPES: [&str; 4] = ["m.room.message", "m.room.encrypted", "m.reaction", "m.room.redaction"];

/// The JSON of an event in a room's timeline.
pub(crate) type RawEvent = Raw<AnySyncTimelineEvent>;

/// An event of a room's timeline.
#[derive(Debug, Clone)]
pub(crate) struct RoomEvent {
    /// The event, decrypted if possible.
    pub(crate) raw: RawEvent,
    /// The device that encrypted the event; `None` for an event that was sent unencrypted or is still encrypted.
    pub(crate) encryption_info: Option<Arc<EncryptionInfo>>,
    /// The deduplication key of the ciphertext (`ciphertext_id`); `None` if the ciphertext is not available.
    pub(crate) ciphertext_id: Option<String>,
}

impl From<RawEvent> for RoomEvent {
    fn from(raw: RawEvent) -> Self {
        Self { raw, encryption_info: None, ciphertext_id: None }
    }
}

impl From<&TimelineEvent> for RoomEvent {
    fn from(event: &TimelineEvent) -> Self {
        Self { raw: event.raw().clone(), encryption_info: event.kind.encryption_info().cloned(), ciphertext_id: None }
    }
}

impl RoomEvent {
    /// Returns whether the event's content is still encrypted.
    pub(crate) fn is_encrypted(&self) -> bool {
        // A redacted event has no content.
        let content = || self.raw.get_field::<Value>("content").ok().flatten();
        self.is_of_type("m.room.encrypted") && content().is_some_and(|content| content["algorithm"].is_string())
    }

    /// Returns whether the event was sent unencrypted and has the type `kind`.
    pub(crate) fn is_unencrypted(&self, kind: &str) -> bool {
        self.encryption_info.is_none() && self.is_of_type(kind)
    }

    /// Returns whether events of this type can become a message or reaction, or withdraw one.
    pub(crate) fn has_handled_type(&self) -> bool {
        self.kind().is_some_and(|kind| HANDLED_TYPES.contains(&kind.as_str()))
    }

    /// Returns the id of the Megolm session with which the event was encrypted; `None` if the event was not decrypted.
    pub(crate) fn session(&self) -> Option<&str> {
        self.encryption_info.as_deref().and_then(EncryptionInfo::session_id)
    }

    pub(crate) fn sender(&self) -> Option<OwnedUserId> {
        self.raw.get_field("sender").ok().flatten()
    }

    pub(crate) fn id(&self) -> Option<OwnedEventId> {
        id_and_time(&self.raw).map(|(id, _)| id)
    }

    fn is_of_type(&self, kind: &str) -> bool {
        self.kind().is_some_and(|found| found == kind)
    }

    fn kind(&self) -> Option<String> {
        self.raw.get_field("type").ok().flatten()
    }
}

/// Returns an event's id, and its time by the clock of its sender's server; `None` if the event has no id.
pub(crate) fn id_and_time(raw: &RawEvent) -> Option<(OwnedEventId, Timestamp)> {
    let event = raw.get_field::<OwnedEventId>("event_id").ok()??;
    let millis = raw.get_field::<i64>("origin_server_ts").ok().flatten().unwrap_or(0);
    Some((event, timestamp(millis)))
}

/// Returns two unencrypted fields of an encrypted event. The first is the id of the Megolm session whose key decrypts
/// the event; empty if missing. The second is the root event of the event's thread; `None` outside of a thread.
pub(crate) fn session_and_thread(raw: &RawEvent) -> (String, Option<OwnedEventId>) {
    let content = raw.get_field::<Value>("content").ok().flatten().unwrap_or_default();
    let session = content["session_id"].as_str().unwrap_or_default().to_owned();
    let relation = &content["m.relates_to"];
    let thread = relation["event_id"].as_str().filter(|_| relation["rel_type"] == "m.thread");
    (session, thread.and_then(|root| root.try_into().ok()))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn event(kind: &str, content: Value) -> RoomEvent {
        let json =
            json!({ "type": kind, "event_id": "$e:x", "sender": "@bob:x", "origin_server_ts": 1, "content": content });
        RoomEvent::from(Raw::from_json_string(json.to_string()).expect("an object is JSON"))
    }

    #[test]
    fn a_redacted_event_is_not_encrypted() {
        assert!(event("m.room.encrypted", json!({ "algorithm": "m.megolm.v1.aes-sha2" })).is_encrypted());
        assert!(!event("m.room.encrypted", json!({})).is_encrypted());
        assert!(!event("m.room.message", json!({ "algorithm": "x" })).is_encrypted());
    }

    #[test]
    fn session_and_thread_are_read_from_an_encrypted_event() {
        let encrypted = event(
            "m.room.encrypted",
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "session_id": "S",
                    "m.relates_to": { "rel_type": "m.thread", "event_id": "$root:x" } }),
        );
        assert_eq!(session_and_thread(&encrypted.raw), ("S".to_owned(), Some("$root:x".try_into().expect("an id"))));
        let edit = json!({ "session_id": "S", "m.relates_to": { "rel_type": "m.replace", "event_id": "$a:x" } });
        assert_eq!(session_and_thread(&event("m.room.encrypted", edit).raw).1, None);
    }
}
