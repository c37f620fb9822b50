//! The trait through which a chat adapter delivers messages to the engine.

use async_trait::async_trait;
use jiff::Timestamp;

use super::incoming::{Incoming, Position};
use crate::{base::Text, store::StoreError};

/// The inbox of one account. The engine implements it and passes it to [`Chat::serve`](super::Chat::serve).
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
    /// Returns the cursor of a room. Creates the cursor at the time `now` if the room has none; messages from before
    /// that time are never handled. The adapter calls this for each room that the bot is in.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError>;

    /// Returns the cursor of a room; `None` if the bot was never in the room.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn cursor(&self, room: &str) -> Result<Option<Position>, StoreError>;

    /// Stores messages of one room, the oldest first, and moves the room's cursor in the same transaction. Ignores
    /// known messages and messages that do not concern the bot. Returns the number of new messages. The messages are
    /// on disk when this returns, so the adapter may then advance its own sync position.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was stored. Deliver the same messages again.
    async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>)
    -> Result<usize, StoreError>;

    /// Returns whether the engine would handle a message: a command for the bot, or a message that matches a trigger.
    fn handles(&self, room: &str, message: &Incoming) -> bool;

    /// Sends a message that is not the answer to a command, at most once per room and key. `thread` is the id of the
    /// thread's first message, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError>;

    /// Returns whether a person is an admin. Only an admin may invite the bot.
    fn is_admin(&self, person: &str) -> bool;

    /// Waits until no message is being handled, no job is running and every message was sent.
    async fn until_idle(&self);
}
