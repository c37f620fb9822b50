//! Where the adapter of one account brings messages.

use async_trait::async_trait;
use jiff::Timestamp;

use super::incoming::{Incoming, Position};
use crate::{base::Text, store::StoreError};

/// The inbox of one account.
#[async_trait]
pub trait Inbox: Send + Sync + 'static {
    /// The bot is in a room. The first time this is kept as the moment before which nothing is handled;
    /// gives the mark that stands.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError>;

    /// How far a room was read; `None` where the bot never was.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn mark(&self, room: &str) -> Result<Option<Position>, StoreError>;

    /// Takes messages of one room, oldest first, and moves its mark in the same transaction. What is not
    /// addressed to the bot is left, what is known already is ignored. When this returns, the rest is on
    /// disk and being handled: the adapter's own sync position may move on. Gives how many were new.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was taken, bring the same messages again.
    async fn receive(&self, room: &str, messages: Vec<Incoming>, mark: Option<Position>) -> Result<usize, StoreError>;

    /// Whether something becomes of a message here: it is a command to us, or what the operator listens for.
    fn takes(&self, room: &str, message: &Incoming) -> bool;

    /// Says something that no command asked for, once per room and key, for ever; `thread` is the event at its root.
    ///
    /// # Errors
    /// [`StoreError`].
    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError>;

    /// Whether this person may invite the bot.
    fn is_admin(&self, person: &str) -> bool;

    /// Waits until no message is being handled, no job is at work and everything said was sent.
    async fn settled(&self);
}
