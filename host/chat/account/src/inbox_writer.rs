//! Reads and writes the engine's inbox, with retries.

use std::sync::Arc;

use wardroom::{
    adapter::{Inbox, Incoming, Position},
    base::Backoff,
};

/// An inbox whose calls are retried until they succeed. An adapter that went on after a failed write would lose
/// messages.
#[derive(Clone)]
pub struct InboxWriter {
    inbox: Arc<dyn Inbox>,
}

impl InboxWriter {
    /// Wraps an inbox.
    pub fn new(inbox: Arc<dyn Inbox>) -> Self {
        Self { inbox }
    }

    /// Returns the inbox, for calls that are not retried.
    pub fn inbox(&self) -> &Arc<dyn Inbox> {
        &self.inbox
    }

    /// Stores messages of a room and the room's new cursor in one transaction, and retries until it succeeds. Returns
    /// the number of messages that were new.
    pub async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>) -> usize {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(room, messages.clone(), cursor.clone()).await {
                Ok(new) => return new,
                Err(error) => {
                    let retry_in = backoff.next_delay();
                    tracing::error!(room, %error, ?retry_in, "the inbox cannot store messages of the room; retrying");
                    tokio::time::sleep(retry_in).await;
                }
            }
        }
    }

    /// Returns a room's cursor, up to which its events are in the inbox; `None` if the bot never handled the room.
    /// Retries until the read succeeds.
    pub async fn cursor(&self, room: &str) -> Option<Position> {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.cursor(room).await {
                Ok(cursor) => return cursor,
                Err(error) => {
                    let retry_in = backoff.next_delay();
                    tracing::error!(room, %error, ?retry_in, "the inbox cannot read the room's cursor; retrying");
                    tokio::time::sleep(retry_in).await;
                }
            }
        }
    }
}
