//! An event of a room as it came, what encryption hid in it, and whether it is its sender's.
//!
//! Architecture Invariant: what came out of an encrypted event is its sender's own words and nothing more. Memberships and
//! redactions count only as the homeserver brings them in clear, because it alone checks who may send those.
//! Not here: what becomes of an event that cannot be decrypted (`undecrypted`).

use std::sync::Arc;

use matrix_sdk::{
    Room,
    deserialized_responses::{
        DeviceLinkProblem, EncryptionInfo, TimelineEvent, TimelineEventKind, UnableToDecryptReason, VerificationLevel,
        VerificationState, WithheldCode,
    },
    ruma::{OwnedEventId, OwnedUserId, events::room::encrypted::OriginalSyncRoomEncryptedEvent},
};
use serde_json::Value;

use crate::{Config, ciphertext, config::Devices, convert::RawEvent, known::Known, trouble::Trouble};

/// An event of a room's timeline.
#[derive(Debug, Clone)]
pub(crate) struct Event {
    /// The event, decrypted where it could be.
    pub(crate) raw: RawEvent,
    /// What is known of the device that encrypted it; `None` for what came in clear or is still encrypted.
    pub(crate) opened: Option<Arc<EncryptionInfo>>,
    /// What it is called by its ciphertext, where that was seen here (`ciphertext`).
    pub(crate) name: Option<String>,
}

/// Why an event could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reason {
    /// Its key is not here (yet).
    NoKey,
    /// Its sender's device does not give its keys to this one.
    Withheld,
    /// It is broken, or the key does not fit.
    Broken,
}

impl From<RawEvent> for Event {
    fn from(raw: RawEvent) -> Self {
        Self { raw, opened: None, name: None }
    }
}

impl From<&TimelineEvent> for Event {
    fn from(event: &TimelineEvent) -> Self {
        Self { raw: event.raw().clone(), opened: event.kind.encryption_info().cloned(), name: None }
    }
}

impl Event {
    /// Whether its content is still hidden.
    pub(crate) fn is_sealed(&self) -> bool {
        // What was redacted has no content any more.
        let content = || self.raw.get_field::<Value>("content").ok().flatten();
        self.is_of_type("m.room.encrypted") && content().is_some_and(|content| content["algorithm"].is_string())
    }

    /// Whether it came in clear and is of this type.
    pub(crate) fn is_clear(&self, kind: &str) -> bool {
        self.opened.is_none() && self.is_of_type(kind)
    }

    /// The session that it was encrypted with, where it came decrypted.
    pub(crate) fn session(&self) -> Option<&str> {
        self.opened.as_deref().and_then(EncryptionInfo::session_id)
    }

    /// Who sent it.
    pub(crate) fn sender(&self) -> Option<OwnedUserId> {
        self.raw.get_field("sender").ok().flatten()
    }

    fn is_of_type(&self, kind: &str) -> bool {
        self.raw.get_field::<String>("type").ok().flatten().is_some_and(|found| found == kind)
    }
}

/// The key that a sealed event needs, and the root of the thread that it stands in, which is not hidden.
pub(crate) fn envelope(raw: &RawEvent) -> (String, Option<OwnedEventId>) {
    let content = raw.get_field::<Value>("content").ok().flatten().unwrap_or_default();
    let session = content["session_id"].as_str().unwrap_or_default().to_owned();
    let relation = &content["m.relates_to"];
    let thread = relation["event_id"].as_str().filter(|_| relation["rel_type"] == "m.thread");
    (session, thread.and_then(|root| root.try_into().ok()))
}

/// Decrypts an event, if that can be done now.
///
/// # Errors
/// The store of keys does not answer.
pub(crate) async fn open(room: &Room, event: &Event) -> Result<Result<Event, Reason>, Trouble> {
    let sealed = event.raw.cast_ref_unchecked::<OriginalSyncRoomEncryptedEvent>();
    let opened = match room.decrypt_event(sealed, None).await {
        Ok(opened) => opened,
        Err(error) => return Err(Trouble::local("the store of keys", &error)),
    };
    Ok(match &opened.kind {
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => Err(match &utd_info.reason {
            UnableToDecryptReason::MissingMegolmSession { withheld_code: None }
            | UnableToDecryptReason::MissingMegolmSession { withheld_code: Some(WithheldCode::NoOlm) }
            | UnableToDecryptReason::UnknownMegolmMessageIndex => Reason::NoKey,
            UnableToDecryptReason::MissingMegolmSession { .. } => Reason::Withheld,
            _ => Reason::Broken,
        }),
        _ => Ok(Event { name: ciphertext::name(event), ..Event::from(&opened) }),
    })
}

/// Why an event of an encrypted room may not be its sender's, in words for them; `None` where nothing speaks against it.
pub(crate) async fn doubt(room: &Room, event: &Event, config: &Config, known: &Known) -> Option<String> {
    let Some(info) = &event.opened else {
        return Some(
            "It came unencrypted into an encrypted room, where anybody between us could have written it.".into(),
        );
    };
    let mut info = info.clone();
    let mut doubt = judge(&info.verification_state, config.devices);
    if doubt.is_some() {
        // A device is often met for the first time by its message: asked now, the homeserver may know better.
        let (Some(sender), Some(session)) = (event.sender(), event.session()) else { return doubt };
        if known.may_ask(&sender, session) {
            let _ = room.client().encryption().request_user_identity(&sender).await;
        }
        let Some(now) = room.get_encryption_info(session, &sender).await else { return doubt };
        doubt = judge(&now.verification_state, config.devices);
        info = now;
    }
    match doubt {
        // Whoever lets any device in knows nobody by their keys.
        None if config.devices == Devices::CrossSigned => known.doubt(&room.client(), &info).await,
        doubt => doubt,
    }
}

fn judge(state: &VerificationState, devices: Devices) -> Option<String> {
    let VerificationState::Unverified(level) = state else { return None };
    let why = match (level, devices) {
        // Nobody has compared keys with us by hand, which a bot does not offer; the device is its owner's all the same.
        (VerificationLevel::UnverifiedIdentity, _) => return None,
        (VerificationLevel::MismatchedSender, _) => {
            "It was encrypted by the device of somebody else than it says it is from."
        }
        (VerificationLevel::VerificationViolation, _) => "Its sender's keys are not those that were verified once.",
        (VerificationLevel::UnsignedDevice | VerificationLevel::None(_), Devices::Any) => return None,
        (VerificationLevel::UnsignedDevice, _) => {
            "It came from a device that you have not verified. Verify it with another device of yours or with your recovery key, and say it again."
        }
        (VerificationLevel::None(DeviceLinkProblem::InsecureSource), _) => {
            "Its key came from a back-up, which does not tell who wrote it. Say it again."
        }
        (VerificationLevel::None(_), _) => {
            "It cannot be told which device of yours it came from. Say it again from a device that you have verified."
        }
    };
    Some(why.to_owned())
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::serde::Raw;
    use serde_json::json;

    use super::*;

    fn event(kind: &str, content: Value) -> Event {
        let json =
            json!({ "type": kind, "event_id": "$e:x", "sender": "@bob:x", "origin_server_ts": 1, "content": content });
        Event::from(Raw::from_json_string(json.to_string()).expect("an object is JSON"))
    }

    #[test]
    fn what_was_redacted_is_not_sealed() {
        assert!(event("m.room.encrypted", json!({ "algorithm": "m.megolm.v1.aes-sha2" })).is_sealed());
        assert!(!event("m.room.encrypted", json!({})).is_sealed());
        assert!(!event("m.room.message", json!({ "algorithm": "x" })).is_sealed());
    }

    #[test]
    fn an_envelope_tells_its_key_and_its_thread() {
        let sealed = event(
            "m.room.encrypted",
            json!({ "algorithm": "m.megolm.v1.aes-sha2", "session_id": "S",
                    "m.relates_to": { "rel_type": "m.thread", "event_id": "$root:x" } }),
        );
        assert_eq!(envelope(&sealed.raw), ("S".to_owned(), Some("$root:x".try_into().expect("an id"))));
        let edit = json!({ "session_id": "S", "m.relates_to": { "rel_type": "m.replace", "event_id": "$a:x" } });
        assert_eq!(envelope(&event("m.room.encrypted", edit).raw).1, None);
    }

    #[test]
    fn only_a_device_that_its_owner_signed_is_believed() {
        let state = VerificationState::Unverified;
        let problem = || VerificationLevel::None(DeviceLinkProblem::MissingDevice);
        for devices in [Devices::CrossSigned, Devices::Any] {
            assert_eq!(judge(&VerificationState::Verified, devices), None);
            assert_eq!(judge(&state(VerificationLevel::UnverifiedIdentity), devices), None);
            // Whoever lets any device in does not let anybody be anybody.
            assert!(judge(&state(VerificationLevel::MismatchedSender), devices).is_some());
        }
        for level in [VerificationLevel::UnsignedDevice, problem()] {
            assert!(judge(&state(level.clone()), Devices::CrossSigned).is_some());
            assert_eq!(judge(&state(level), Devices::Any), None);
        }
    }
}
