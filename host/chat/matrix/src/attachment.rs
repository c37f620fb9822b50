//! Sends a text that does not fit in one message: the whole text as a file, and an excerpt as the message.
//!
//! Invariant: the file has its own idempotency key and is sent before its message, so that a retry after a crash sends
//! neither of them twice. If a crash leaves an upload to which no event refers, the homeserver deletes the upload.

use std::{io::Cursor, time::Duration};

use matrix_sdk::{
    Room,
    ruma::{EventId, api::client::media::create_content},
};
use serde_json::{Value, json};
use wardroom::{
    adapter::SendError,
    base::{Backoff, Text},
};

use crate::{content, error::MatrixError, responses::Request, room_encryption::RoomEncryption, send};

/// Length of the excerpt in the message, in characters.
const EXCERPT: usize = 3_000;
/// Maximum number of attempts to upload a file while the homeserver fails. After the last attempt the message is sent
/// without the file, because a homeserver whose media store fails can still accept messages.
const MAX_ATTEMPTS: u32 = 3;
/// The delay before the second attempt.
const FIRST_WAIT: Duration = Duration::from_millis(500);

/// Sends a long text as a file, to a room or to the thread with the root event `thread`. Returns an excerpt, which the
/// caller sends as the message. If the text is not longer than an excerpt, sends no file and returns the text
/// unchanged. If the homeserver rejects the file, or fails several times, the excerpt ends with a notice. `key` is the
/// message's idempotency key; the file's key is `KEY#file`.
///
/// # Errors
/// [`SendError::Later`] if a retry can succeed; [`SendError::Forbidden`] if the account may not send to the room;
/// [`SendError::Never`] if the homeserver rejects the search for the file of an earlier attempt.
pub(crate) async fn send(
    room: &Room,
    encryption: &RoomEncryption,
    text: &Text,
    thread: Option<&EventId>,
    key: &str,
) -> Result<Text, SendError> {
    let (mut excerpt, whole) = text.clone().excerpt(EXCERPT);
    let Some(whole) = whole else { return Ok(excerpt) };
    let key = format!("{key}#file");
    // The homeserver deduplicates by transaction id only for a short time, so search for an earlier upload.
    if send::search(room, &key).await?.is_some() {
        return Ok(excerpt);
    }
    let size = whole.len();
    let sent = match upload_with_retries(room, encryption, &whole).await {
        Ok(source) => {
            let content = content::file(source, size, thread, &key);
            send::send_confirmed(room, encryption, content, &key).await.map(drop)
        }
        Err(error) => Err(error),
    };
    match sent {
        Ok(()) => {}
        Err(MatrixError::Rejected { reason } | MatrixError::TooLarge { reason }) => {
            tracing::warn!(room = %room.room_id(), size, error = reason, "the homeserver rejected the file with the full text of a long message; sending only an excerpt");
            excerpt
                .push_lines("(The attached file with the whole text is missing, because the homeserver rejected it.)");
        }
        Err(error) => return Err(error.into()),
    }
    Ok(excerpt)
}

/// Uploads a text as a file. Repeats the upload a few times while the homeserver fails. Returns the event fields that
/// refer to the uploaded file.
///
/// # Errors
/// [`MatrixError::Rejected`] if the homeserver does not accept the file or still fails; another error if the message
/// must wait, too, for example for a rate limit.
async fn upload_with_retries(room: &Room, encryption: &RoomEncryption, text: &str) -> Result<Value, MatrixError> {
    let mut backoff = Backoff::new(FIRST_WAIT, FIRST_WAIT * 8);
    loop {
        match upload(room, encryption, text.to_owned()).await {
            Err(MatrixError::Unavailable { retry_after: None, reason }) => {
                if backoff.retries() + 1 >= MAX_ATTEMPTS {
                    return Err(MatrixError::rejected(reason));
                }
                backoff.wait(None).await;
            }
            uploaded => return uploaded,
        }
    }
}

/// Uploads a text as a file, encrypted if the room is encrypted. Returns the event fields that refer to the uploaded
/// file.
async fn upload(room: &Room, encryption: &RoomEncryption, text: String) -> Result<Value, MatrixError> {
    let client = room.client();
    if encryption.is_encrypted(room).await? {
        let file = client.upload_encrypted_file(&mut Cursor::new(text.into_bytes())).await;
        let file = file.map_err(|error| MatrixError::of_sdk(Request::Upload, &error))?;
        return Ok(json!({ "file": file }));
    }
    let mut request = create_content::v3::Request::new(text.into_bytes());
    request.filename = Some(content::FILE_NAME.to_owned());
    request.content_type = Some("text/plain; charset=utf-8".to_owned());
    let answer = client.send(request).await.map_err(|error| MatrixError::of(Request::Upload, &error))?;
    Ok(json!({ "url": answer.content_uri }))
}
