//! Writes to the engine's inbox and repeats each write until it is stored.

use std::sync::Arc;

use wardroom::{
    adapter::Inbox,
    adapter::{Incoming, Position},
};

use crate::Backoff;

/// An inbox whose reads and writes are retried until they succeed: an adapter that went on after a failed write would lose
/// messages.
#[derive(Clone)]
pub struct InboxWriter {
    inbox: Arc<dyn Inbox>,
}

impl InboxWriter {
    /// Writes to this inbox.
    pub fn new(inbox: Arc<dyn Inbox>) -> Self {
        Self { inbox }
    }

    /// The inbox, for calls that need no retry.
    pub fn inbox(&self) -> &Arc<dyn Inbox> {
        &self.inbox
    }

    /// Stores messages of a room together with its new mark. Returns how many of them were new.
    pub async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>) -> usize {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.receive(room, messages.clone(), cursor.clone()).await {
                Ok(new) => return new,
                Err(error) => {
                    let retry_in = backoff.next_delay();
                    tracing::error!(room, %error, ?retry_in, "messages of the room cannot be stored; retrying");
                    tokio::time::sleep(retry_in).await;
                }
            }
        }
    }

    /// The mark of a room, up to which it was read; `None` where it was never read.
    pub async fn cursor(&self, room: &str) -> Option<Position> {
        let mut backoff = Backoff::default();
        loop {
            match self.inbox.cursor(room).await {
                Ok(cursor) => return cursor,
                Err(error) => {
                    let retry_in = backoff.next_delay();
                    tracing::error!(room, %error, ?retry_in, "the room's mark cannot be read; retrying");
                    tokio::time::sleep(retry_in).await;
                }
            }
        }
    }
}
