//! Decrypts one event with the keys of this device's store.
//!
//! Not here: whether the sender is trusted (`sender_trust`).

use matrix_sdk::{
    Room,
    deserialized_responses::{TimelineEventKind, UnableToDecryptReason, WithheldCode},
    ruma::events::room::encrypted::OriginalSyncRoomEncryptedEvent,
};

use crate::{ciphertext_id, error::MatrixError, room_event::RoomEvent};

/// Why an event could not be decrypted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum DecryptionFailure {
    /// The key is not in the store. It can still arrive.
    KeyMissing,
    /// The sender's device refuses to share its keys with this device.
    KeyWithheld,
    /// The ciphertext is damaged or does not match its key. No key helps.
    Damaged,
}

/// Decrypts an event.
///
/// # Errors
/// [`MatrixError::Local`] where the store of keys fails. A key that is missing is the inner error.
pub(crate) async fn decrypt(
    room: &Room,
    event: &RoomEvent,
) -> Result<Result<RoomEvent, DecryptionFailure>, MatrixError> {
    let encrypted = event.raw.cast_ref_unchecked::<OriginalSyncRoomEncryptedEvent>();
    let decrypted = match room.decrypt_event(encrypted, None).await {
        Ok(decrypted) => decrypted,
        Err(error) => return Err(MatrixError::local("the store of keys", &error)),
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
