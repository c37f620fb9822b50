//! The trait through which a chat adapter delivers messages to the engine.

use async_trait::async_trait;
use jiff::Timestamp;

use super::incoming::{Incoming, Position};
use crate::{base::Text, store::StoreError};

/// The inbox of one account on a chat network. The engine implements this trait and passes the inbox to
/// [`Chat::serve`](super::Chat::serve).
///
/// ```
/// use wardroom::prelude::*;
///
/// # async fn deliver(engine: &Engine) -> anyhow::Result<()> {
/// let inbox = engine.inbox("marvin", "memory").expect("the configuration has this account");
/// let sender = Person::named_by_id("@bob:example.org");
/// inbox.receive("ops", vec![Incoming::new("$1", sender, "!jobs", Timestamp::now())], None).await?;
/// # Ok(())
/// # }
/// ```
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// Returns the account's read cursor in a room. If the store has no cursor for this room, stores a cursor at the
    /// time `now` and returns that cursor. The engine never handles messages from before the cursor. The adapter calls
    /// this method for each room that the bot is in.
    ///
    /// # Errors
    /// [`StoreError`] if the cursor could not be read or stored.
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError>;

    /// Returns the account's read cursor in a room; `None` if the store has no cursor for this room. Unlike
    /// [`Inbox::enter`], creates no cursor.
    ///
    /// # Errors
    /// [`StoreError`] if the cursor could not be read.
    async fn cursor(&self, room: &str) -> Result<Option<Position>, StoreError>;

    /// Stores new messages of one room and moves the room's read cursor, in one transaction. `messages` begins with the
    /// oldest message. `cursor` is the new read cursor; `None` leaves the cursor unchanged. Messages that are already
    /// stored and messages that the bot does not handle are ignored.
    ///
    /// Returns the number of stored messages. The messages are on disk when this method returns, so the adapter may
    /// then advance its own sync position.
    ///
    /// # Errors
    /// [`StoreError`] if the transaction failed and nothing was stored. The adapter must deliver the same messages
    /// again.
    async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>)
    -> Result<usize, StoreError>;

    /// Returns whether the engine would handle a message: a reaction, a command for the bot, or a message that matches
    /// a trigger.
    fn handles(&self, room: &str, message: &Incoming) -> bool;

    /// Queues a message from the adapter itself to a room, for example a notice. `key` identifies the message: a second
    /// call with the same room and `key` does nothing. `thread` is the id of the first message of the thread; `None`
    /// outside of a thread.
    ///
    /// # Errors
    /// [`StoreError`] if the message could not be stored.
    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError>;

    /// Returns whether the person with this id is an admin. Only an admin may invite the bot to a room.
    fn is_admin(&self, person: &str) -> bool;

    /// Waits until the host is idle: it handles no message, runs no job, and has sent every queued message.
    async fn until_idle(&self);
}
