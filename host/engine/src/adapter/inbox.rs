//! The trait through which an adapter delivers messages.

use async_trait::async_trait;
use jiff::Timestamp;

use super::incoming::{Incoming, Position};
use crate::{base::Text, store::StoreError};

/// The inbox of one account.
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
    /// Called when the bot is in a room. The first call stores the current time; older messages are never handled.
    /// Returns the stored cursor.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError>;

    /// The read cursor of a room; `None` if the bot was never in it.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn cursor(&self, room: &str) -> Result<Option<Position>, StoreError>;

    /// Delivers messages of one room, the oldest first, and moves the room's cursor in the same transaction. Messages
    /// that do not concern the bot, and known ones, are ignored. After it returns the other messages are on disk, so
    /// the adapter may advance its own sync position. Returns the number of new messages.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was stored. Deliver the same messages again.
    async fn receive(&self, room: &str, messages: Vec<Incoming>, cursor: Option<Position>)
    -> Result<usize, StoreError>;

    /// Whether a message would be handled: it is a command for the bot or matches a trigger.
    fn handles(&self, room: &str, message: &Incoming) -> bool;

    /// Sends a message that answers no command, at most once per room and key. `thread` is the root event of the
    /// thread, if any.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError>;

    /// Whether a person is an admin, and so may invite the bot.
    fn is_admin(&self, person: &str) -> bool;

    /// Waits until no message is being handled, no job is running and every message was sent.
    async fn until_idle(&self);
}
