//! Decrypts one event with the key store of this device.
//!
//! Not here: the check whether the sender is trusted (`sender_trust`).

use matrix_sdk::{
    Room,
    deserialized_responses::{TimelineEventKind, UnableToDecryptReason, WithheldCode},
    ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent,
};

use crate::{ciphertext_id, error::MatrixError, room_event::RoomEvent};

/// The reason why an event could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecryptionFailure {
    /// The key store does not have the key yet. The key can still arrive.
    KeyMissing,
    /// The sender's device refuses to share its keys with this device.
    KeyWithheld,
    /// The ciphertext is damaged or does not match its key. A key that arrives later does not help.
    Damaged,
}

/// Decrypts an event. The inner `Err` is the reason why the event cannot be decrypted, for example a missing key.
///
/// # Errors
/// [`MatrixError::Local`] if the key store fails.
pub(crate) async fn decrypt(
    room: &Room,
    event: &RoomEvent,
) -> Result<Result<RoomEvent, DecryptionFailure>, MatrixError> {
    let encrypted = event.raw.cast_ref_unchecked::<OriginalSyncRoomEncryptedEvent>();
    let decrypted = match room.decrypt_event(encrypted, None).await {
        Ok(decrypted) => decrypted,
        Err(error) => return Err(MatrixError::local("the key store failed", &error)),
    };
    Ok(match &decrypted.kind {
        TimelineEventKind::UnableToDecrypt { utd_info, .. } => Err(match &utd_info.reason {
            UnableToDecryptReason::MissingMegolmSession { withheld_code: None }
            | UnableToDecryptReason::MissingMegolmSession { withheld_code: Some(WithheldCode::NoOlm) }
            | UnableToDecryptReason::UnknownMegolmMessageIndex => DecryptionFailure::KeyMissing,
            UnableToDecryptReason::MissingMegolmSession { .. } => DecryptionFailure::KeyWithheld,
            _ => DecryptionFailure::Damaged,
        }),
        _ => Ok(RoomEvent { ciphertext_id: ciphertext_id::of(event), ..RoomEvent::from(&decrypted) }),
    })
}
