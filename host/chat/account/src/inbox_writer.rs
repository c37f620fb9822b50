//! Reads and writes the engine's inbox, which stores the received messages. A failed call is retried.

use std::sync::Arc;

use wardroom::{
    adapter::{Inbox, Incoming, Position},
    base::Backoff,
    store::StoreError,
};

/// The engine's inbox of one account. Calls are retried until they succeed, because an adapter that continued after a
/// failed write would lose messages.
pub struct InboxWriter {
    inbox: Arc<dyn Inbox>,
}

impl InboxWriter {
    /// Wraps the inbox that the engine passed to the adapter.
    pub fn new(inbox: Arc<dyn Inbox>) -> Self {
        Self { inbox }
    }

    /// Returns the wrapped inbox, for calls that must not be retried.
    pub fn inbox(&self) -> &Arc<dyn Inbox> {
        &self.inbox
    }

    /// Stores messages of a room and the room's new cursor in one transaction, and retries until the transaction
    /// succeeds. If `cursor` is `None`, the room's cursor does not change. Returns the number of messages that the
    /// inbox stored. The inbox ignores messages that it holds already and messages that the bot does not handle.
    pub async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>) -> usize {
        let receive = || self.inbox.receive(room, messages.clone(), cursor.clone());
        retry(room, "cannot store received messages in the inbox", receive).await
    }

    /// Returns a room's cursor, the position up to which the room's events were handled; `None` if the bot was never in
    /// the room. Retries until the read succeeds.
    pub async fn cursor(&self, room: &str) -> Option<Position> {
        retry(room, "cannot read the room's cursor from the inbox", || self.inbox.cursor(room)).await
    }
}

/// Calls the inbox until the call succeeds. `failure` says what failed, for the log.
async fn retry<T, F>(room: &str, failure: &str, call: impl Fn() -> F) -> T
where
    F: Future<Output = Result<T, StoreError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match call().await {
            Ok(done) => return done,
            Err(error) => {
                let retry_in = backoff.next_delay();
                tracing::error!(room, %error, ?retry_in, "{failure}; retrying");
                tokio::time::sleep(retry_in).await;
            }
        }
    }
}
