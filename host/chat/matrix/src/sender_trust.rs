//! Whether an event of an encrypted room may act in its sender's name.

use matrix_sdk::{
    Room,
    deserialized_responses::{DeviceLinkProblem, VerificationLevel, VerificationState},
};

use crate::{Config, config::Devices, room_event::RoomEvent, trust_store::TrustStore};

/// Why an event may not be its sender's, in words for them; `None` where it is trusted.
pub(crate) async fn distrust_reason(
    room: &Room,
    event: &RoomEvent,
    config: &Config,
    trust_store: &TrustStore,
) -> Option<String> {
    let Some(info) = &event.encryption_info else {
        return Some("It was sent unencrypted in an encrypted room, where the homeserver could have forged it. Send it encrypted.".into());
    };
    let mut info = info.clone();
    let mut reason = judge(&info.verification_state, config.devices);
    if reason.is_some() {
        // A message is often the first sign of a new device, so its owner's devices are looked up once more.
        let (Some(sender), Some(session)) = (event.sender(), event.session()) else { return reason };
        if trust_store.may_look_up(&sender, session) {
            let _ = room.client().encryption().request_user_identity(&sender).await;
        }
        let Some(current) = room.get_encryption_info(session, &sender).await else { return reason };
        reason = judge(&current.verification_state, config.devices);
        info = current;
    }
    match reason {
        // `devices = "any"` trusts every device, so master keys do not matter there.
        None if config.devices == Devices::CrossSigned => trust_store.distrust_reason(&room.client(), &info).await,
        reason => reason,
    }
}

/// Judges a device by what the SDK verified of it.
fn judge(state: &VerificationState, devices: Devices) -> Option<String> {
    let VerificationState::Unverified(level) = state else { return None };
    let reason = match (level, devices) {
        // The device is signed by its owner. The bot does not compare keys by hand.
        (VerificationLevel::UnverifiedIdentity, _) => return None,
        (VerificationLevel::MismatchedSender, _) => "It was encrypted by a device of another person than its sender.",
        (VerificationLevel::VerificationViolation, _) => {
            "Your encryption keys are not those that were verified before. Ask an operator to accept the new ones."
        }
        (VerificationLevel::UnsignedDevice | VerificationLevel::None(_), Devices::Any) => return None,
        (VerificationLevel::UnsignedDevice, _) => {
            "It was sent from a device that is not verified. Verify it with another device of yours or with your recovery key, and send it again."
        }
        (VerificationLevel::None(DeviceLinkProblem::InsecureSource), _) => {
            "Its key came from a backup, which does not prove who sent it. Send it again."
        }
        (VerificationLevel::None(_), _) => {
            "The device that sent it cannot be determined. Send it again from a verified device."
        }
    };
    Some(reason.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_device_that_its_owner_signed_is_trusted() {
        let state = VerificationState::Unverified;
        let unknown_device = || VerificationLevel::None(DeviceLinkProblem::MissingDevice);
        for devices in [Devices::CrossSigned, Devices::Any] {
            assert_eq!(judge(&VerificationState::Verified, devices), None);
            assert_eq!(judge(&state(VerificationLevel::UnverifiedIdentity), devices), None);
            // `devices = "any"` does not allow one person to send as another.
            assert!(judge(&state(VerificationLevel::MismatchedSender), devices).is_some());
        }
        for level in [VerificationLevel::UnsignedDevice, unknown_device()] {
            assert!(judge(&state(level.clone()), Devices::CrossSigned).is_some());
            assert_eq!(judge(&state(level), Devices::Any), None);
        }
    }
}
