//! What does not fit in one message: sent as a file, with its beginning and its end as the message.
//!
//! Architecture Invariant: a file has a key of its own and is sent before its message, so that a retry after any crash sends
//! neither twice. An upload that nothing refers to is the homeserver's to forget.

use std::io::Cursor;

use matrix_sdk::{
    Room,
    ruma::{EventId, api::client::media::create_content},
};
use serde_json::{Value, json};
use wardroom::{port::SendError, reply::Text};

use crate::{convert, send, trouble::Trouble};

/// How much of it stands in the message, in characters.
const EXCERPT: usize = 3_000;

/// Sends the whole of a text as a file, and gives what is to be said with it.
///
/// # Errors
/// [`SendError::Later`]; what the homeserver refuses is said in the text instead.
pub(crate) async fn send(room: &Room, text: &Text, thread: Option<&EventId>, key: &str) -> Result<Text, SendError> {
    let (mut excerpt, whole) = text.clone().excerpt(EXCERPT);
    let Some(whole) = whole else { return Ok(excerpt) };
    let key = format!("{key}#file");
    // The homeserver's own memory of what it was sent is short.
    if send::look_back(room, &key).await?.is_some() {
        return Ok(excerpt);
    }
    let size = whole.len();
    let sent = match upload(room, whole).await {
        Ok(source) => {
            send::send_event(room, "m.room.message", convert::file(source, size, thread, &key), &key).await.map(drop)
        }
        Err(trouble) => Err(trouble.into()),
    };
    match sent {
        Err(SendError::Never { reason }) => {
            tracing::warn!(room = %room.room_id(), size, "the homeserver does not take a file: {reason}");
            excerpt.push_lines("(The homeserver did not take the file.)");
        }
        sent => sent?,
    }
    Ok(excerpt)
}

/// Gives the fields that say where the file is, encrypted where the room is.
async fn upload(room: &Room, text: String) -> Result<Value, Trouble> {
    let client = room.client();
    if room.latest_encryption_state().await?.is_encrypted() {
        let file = client.upload_encrypted_file(&mut Cursor::new(text.into_bytes())).await?;
        return Ok(json!({ "file": file }));
    }
    let mut request = create_content::v3::Request::new(text.into_bytes());
    request.filename = Some(convert::FILE_NAME.to_owned());
    request.content_type = Some("text/plain; charset=utf-8".to_owned());
    let answer = client.send(request).await?;
    Ok(json!({ "url": answer.content_uri }))
}
