//! The notice to a person whose device is not verified. With `devices = "cross-signed"`, the bot encrypts its messages
//! only for devices that their owners have verified, so the person cannot read the answer to a command on that device.
//!
//! Invariant: the notice is the only message that the bot sends unencrypted to an encrypted room. Its text is a
//! constant, so it gives the homeserver no content. It is sent at most once a day for each
//! room and person: the homeserver can add any number of devices to an account.
//! Invariant: an unverified device gets no keys, not even for the answers to its owner's queries. The homeserver can
//! add a device to an account, and could read these answers with it.

use matrix_sdk::{
    Client,
    ruma::{
        OwnedUserId, RoomId, UserId,
        api::client::message::send_message_event,
        events::{AnyMessageLikeEventContent, MessageLikeEventType},
        serde::Raw,
    },
};
use wardroom::{
    Timestamp,
    adapter::{Body, Outgoing, SendError},
};

use crate::{
    NETWORK, content,
    error::MatrixError,
    responses::Request,
    send::{event_id, transaction_id},
};

const PREFIX: &str = "unverified-device/";

/// The text of the notice, without the mention of the person.
pub(crate) const TEXT: &str = "You sent a command from a device that is not verified. The bot encrypts its messages only for verified devices, so you cannot read them on this device. Verify the device with another device of yours or with your recovery key, or read the answer on a verified device. This notice is not encrypted, and is sent at most once a day.";

/// Returns the part of the notice's idempotency key that the adapter chooses. All notices of one day (UTC) have the
/// same key.
pub(crate) fn key(owner: &UserId, now: Timestamp) -> String {
    format!("{PREFIX}{owner}/{}", now.strftime("%Y-%m-%d"))
}

/// Returns the person to whom a message of the outbox is a notice; `None` if it is another message. `bot` is the bot's
/// name in `plugins.toml`.
pub(crate) fn owner(message: &Outgoing, bot: &str) -> Option<OwnedUserId> {
    let chosen = message.key.strip_prefix(&format!("{bot}/{NETWORK}/{}/{PREFIX}", message.room))?;
    UserId::parse(chosen.rsplit_once('/')?.0).ok()
}

/// Sends the notice. Ignores the text of the message.
///
/// # Errors
/// [`SendError`].
pub(crate) async fn send(client: &Client, message: &Outgoing, owner: &UserId) -> Result<String, SendError> {
    let never = |reason: String| SendError::Never { reason };
    let room = RoomId::parse(&message.room).map_err(|error| never(error.to_string()))?;
    let thread = match &message.body {
        Body::Say { thread, .. } => thread.as_deref().map(event_id).transpose()?,
        Body::Edit { .. } | Body::React { .. } => None,
    };
    let content = content::device_notice(TEXT, owner, thread, &message.key);
    let content: Raw<AnyMessageLikeEventContent> =
        Raw::new(&content).map_err(|error| never(error.to_string()))?.cast_unchecked();
    let request = send_message_event::v3::Request::new_raw(
        room,
        transaction_id(&message.key),
        MessageLikeEventType::RoomMessage,
        content,
    );
    match client.send(request).await {
        Ok(sent) => Ok(sent.event_id.to_string()),
        Err(error) => Err(send_error(MatrixError::of(Request::Event, &error))),
    }
}

/// Returns the error of a notice that was not sent. A forbidden notice is dropped: the room can forbid unencrypted
/// messages, for example with a power level for `m.room.message`, and still accept the encrypted messages of the bot.
fn send_error(error: MatrixError) -> SendError {
    match error {
        MatrixError::Forbidden { reason } => SendError::Never { reason },
        error => error.into(),
    }
}

#[cfg(test)]
mod tests {
    use matrix_sdk::ruma::user_id;
    use wardroom::base::Text;

    use super::*;

    fn message(key: String) -> Outgoing {
        Outgoing { key, room: "!ops:x".into(), body: Body::Say { text: Text::lines("secret"), thread: None } }
    }

    #[test]
    fn a_forbidden_notice_is_dropped_and_one_during_an_outage_is_not() {
        let forbidden = MatrixError::Forbidden { reason: "403".into() };
        assert!(matches!(send_error(forbidden), SendError::Never { .. }));
        assert!(matches!(send_error(MatrixError::unavailable("502")), SendError::Later { .. }));
    }

    #[test]
    fn only_a_key_of_the_adapter_is_a_notice() {
        let key = key(user_id!("@alice:x"), Timestamp::UNIX_EPOCH);
        assert_eq!(key, "unverified-device/@alice:x/1970-01-01");
        let notice = message(format!("marvin/matrix/!ops:x/{key}"));
        assert_eq!(owner(&notice, "marvin").as_deref(), Some(user_id!("@alice:x")));
        for other in [
            key.clone(),
            format!("7f3ak/{key}"),
            format!("marvin/matrix/!dev:x/{key}"),
            format!("hal/matrix/!ops:x/{key}"),
            "marvin/matrix/!ops:x/unverified-device/alice/ABC".into(),
            "marvin/matrix/!ops:x/$event/answer".into(),
        ] {
            assert_eq!(owner(&message(other.clone()), "marvin"), None, "{other}");
        }
    }
}
