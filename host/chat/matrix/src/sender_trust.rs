//! Decides whether an event of an encrypted room may start actions in its sender's name.

use matrix_sdk::{
    Room,
    deserialized_responses::{DeviceLinkProblem, VerificationLevel, VerificationState},
    ruma::OwnedUserId,
};

use crate::{
    Config,
    config::Devices,
    device_lookups::{DeviceLookup, DeviceLookups},
    room_event::RoomEvent,
    trust_store::{TrustStore, UNDETERMINED},
};

/// Returns the reason why an event is not trusted, as a text for its sender; `None` if the event is trusted.
pub(crate) async fn distrust_reason(
    room: &Room,
    event: &RoomEvent,
    config: &Config,
    trust_store: &TrustStore,
    lookups: &DeviceLookups,
) -> Option<String> {
    let Some(info) = &event.encryption_info else {
        return Some("The message was sent unencrypted in an encrypted room, so the homeserver could have forged it. Send it encrypted.".into());
    };
    let mut info = info.clone();
    let mut reason = device_distrust_reason(&info.verification_state, config.devices);
    if reason.is_some() {
        // A message is often the first sign of a new device, so look up its sender's devices once more.
        let (Some(sender), Some(session)) = (event.sender(), event.session()) else { return reason };
        let (client, user) = (room.client(), sender.clone());
        let request = async move { client.encryption().request_user_identity(&user).await.is_ok() };
        let lookup = lookups.run(&sender, request).await;
        let Some(current) = room.get_encryption_info(session, &sender).await else { return reason };
        reason = device_distrust_reason(&current.verification_state, config.devices);
        info = current;
        if reason.is_some() && lookup == DeviceLookup::Unavailable {
            // The reason may be outdated.
            return Some(UNDETERMINED.to_owned());
        }
    }
    match reason {
        // `devices = "any"` trusts every device, so master keys are not checked then.
        None if config.devices == Devices::CrossSigned => trust_store.distrust_reason(&room.client(), &info).await,
        reason => reason,
    }
}

/// Returns the owner of the device that sent an event, if the owner has not verified the device and the bot therefore
/// does not encrypt for it. Uses what the last lookup of the device found.
pub(crate) async fn unverified_owner(room: &Room, event: &RoomEvent, config: &Config) -> Option<OwnedUserId> {
    if config.devices == Devices::Any {
        return None;
    }
    let sender = event.sender()?;
    let info = match event.session() {
        Some(session) => room.get_encryption_info(session, &sender).await,
        None => None,
    };
    let info = info.or_else(|| event.encryption_info.clone())?;
    let is_unsigned =
        matches!(info.verification_state, VerificationState::Unverified(VerificationLevel::UnsignedDevice));
    is_unsigned.then_some(sender)
}

/// Returns the reason why a device is not trusted, as a text for its owner. `state` is the SDK's verification state of
/// the device. Returns `None` if the device is trusted.
fn device_distrust_reason(state: &VerificationState, devices: Devices) -> Option<String> {
    let VerificationState::Unverified(level) = state else { return None };
    let reason = match (level, devices) {
        // The device is signed by its owner. Manual comparison of keys is not supported.
        (VerificationLevel::UnverifiedIdentity, _) => return None,
        (VerificationLevel::MismatchedSender, _) => {
            "The message was encrypted by a device of another person. Send the message again from your own device."
        }
        (VerificationLevel::VerificationViolation, _) => {
            "Your encryption keys differ from those that were verified before. Ask an operator to accept the new keys."
        }
        (VerificationLevel::UnsignedDevice | VerificationLevel::None(_), Devices::Any) => return None,
        (VerificationLevel::UnsignedDevice, _) => {
            "The message was sent from a device that is not verified. Verify the device with another device of yours or with your recovery key, and send the message again."
        }
        (VerificationLevel::None(DeviceLinkProblem::InsecureSource), _) => {
            "The key of the message came from a backup, which does not prove who sent the message. Send the message again."
        }
        (VerificationLevel::None(_), _) => {
            "The device that sent the message is unknown. Send the message again from a verified device."
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
            assert_eq!(device_distrust_reason(&VerificationState::Verified, devices), None);
            assert_eq!(device_distrust_reason(&state(VerificationLevel::UnverifiedIdentity), devices), None);
            // `devices = "any"` does not allow one person to send as another.
            assert!(device_distrust_reason(&state(VerificationLevel::MismatchedSender), devices).is_some());
        }
        for level in [VerificationLevel::UnsignedDevice, unknown_device()] {
            assert!(device_distrust_reason(&state(level.clone()), Devices::CrossSigned).is_some());
            assert_eq!(device_distrust_reason(&state(level), Devices::Any), None);
        }
    }
}
