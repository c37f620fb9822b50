//! The trait of a chat network: receives and sends messages.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use crate::{
    adapter::Inbox,
    base::{NO_KEYS, Table, TableKeys, Text},
    model::{BotIdentity, Person},
};

/// The features of a network beyond plain messages. Plain text must always be sufficient.
///
/// ```
/// use wardroom::prelude::*;
///
/// let features = ChatFeatures { threads: true, ..ChatFeatures::PLAIN };
/// assert!(features.threads && !features.edits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatFeatures {
    /// Threads: an answer can be placed below a message.
    pub threads: bool,
    /// Edits: a sent message can be changed. Without edits a card is sent once, when its job waits or has ended.
    pub edits: bool,
    /// Reactions: an emoji can be put on a message.
    pub reactions: bool,
    /// Files: a text that is too long for a message is attached as a file. The adapter then receives texts of up to 1
    /// MiB.
    pub files: bool,
}

impl ChatFeatures {
    /// Plain messages only.
    pub const PLAIN: Self = Self { threads: false, edits: false, reactions: false, files: false };
}

/// A message to send.
///
/// ```
/// use wardroom::prelude::*;
///
/// let body = Body::Say { text: Text::lines("Done."), thread: None };
/// let message = Outgoing { key: "7f3ak/end".into(), room: "ops".into(), body };
/// assert_eq!(message.room, "ops");
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// The idempotency key. A second send with the same key must not create a second message if the network can detect
    /// it. The key is stored in a hidden field of the message for [`Chat::find`].
    pub key: String,
    /// The room's id on this network, or a name that [`Chat::room`] resolves.
    pub room: String,
    /// The content.
    pub body: Body,
}

/// The content of an outgoing message.
///
/// ```
/// use wardroom::prelude::*;
///
/// let body = Body::React { event: "$1".into(), emoji: "👀".into() };
/// assert!(matches!(body, Body::React { .. }));
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A new message.
    Say {
        /// The new text.
        text: Text,
        /// The root event of the thread, if the message belongs to one.
        thread: Option<String>,
    },
    /// An edit of a message that the bot sent.
    Edit {
        /// The event id that [`Chat::send`] returned.
        event: String,
        /// The complete new text.
        text: Text,
    },
    /// A reaction on a message.
    React {
        /// The event id of the message.
        event: String,
        /// The emoji.
        emoji: String,
    },
}

/// Why a message was not sent.
///
/// ```
/// use wardroom::prelude::*;
///
/// let error = SendError::Later { after: None, reason: "503".into() };
/// assert_eq!(error.to_string(), "not sent yet: 503");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A temporary error: the network is unavailable, busy, or limits the rate. The message is retried.
    #[error("not sent yet: {reason}")]
    Later {
        /// The pause that the network asked for, if any.
        after: Option<Duration>,
        /// The reason, for the log.
        reason: String,
    },
    /// A permanent error, for example an unknown room. The message is dropped and the error is logged.
    #[error("cannot be sent: {reason}")]
    Never {
        /// The reason, for the log.
        reason: String,
    },
}

/// An account on a chat network.
///
/// ```
/// use std::sync::Arc;
/// use wardroom::prelude::*;
///
/// /// Prints every message.
/// struct Printer;
///
/// #[async_trait::async_trait]
/// impl Chat for Printer {
///     fn network(&self) -> &'static str {
///         "printer"
///     }
///
///     async fn serve(&self, _inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()> {
///         stop.cancelled().await;
///         Ok(())
///     }
///
///     async fn send(&self, message: &Outgoing) -> Result<String, SendError> {
///         if let Body::Say { text, .. } = &message.body {
///             println!("{}: {}", message.room, text.plain());
///         }
///         Ok(message.key.clone())
///     }
/// }
///
/// let builder = Engine::builder().chat(ReadyChat(Arc::new(Printer)));
/// # let _ = builder;
/// ```
#[async_trait]
pub trait Chat: Send + Sync + 'static {
    /// The network's name in keys, rules and logs: `console`, `matrix`.
    fn network(&self) -> &'static str;

    /// The supported features; plain messages by default.
    fn features(&self) -> ChatFeatures {
        ChatFeatures::PLAIN
    }

    /// The connection state; `None` for networks that are always connected.
    fn link(&self) -> Option<&Link> {
        None
    }

    /// The rooms in its configuration, as they are written there.
    fn rooms(&self) -> Vec<String> {
        Vec::new()
    }

    /// The account's id, after the login.
    fn account_id(&self) -> Option<String> {
        None
    }

    /// Whether relations of messages in a room are trusted: their thread, and the target of a reaction. If a third
    /// party could alter them, as in some encrypted rooms, reactions do not count as approvals and an approval must
    /// name its job.
    fn trusts_relations(&self, _room: &str) -> bool {
        true
    }

    /// Shows a typing indicator, if the network has one. Best effort.
    async fn typing(&self, _room: &str) {}

    /// Delivers messages to the inbox until `stop`, and recovers from network errors. Returns early only after a
    /// permanent error, for example a revoked login or the end of the console's input.
    ///
    /// # Errors
    /// The permanent error.
    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()>;

    /// Sends a message and returns its event id. May be called before [`Chat::serve`] has connected; it then returns
    /// [`SendError::Later`].
    ///
    /// # Errors
    /// [`SendError`].
    async fn send(&self, message: &Outgoing) -> Result<String, SendError>;

    /// Searches a room for a message that the bot sent with this key. Called after a crash, when the result of
    /// [`Chat::send`] was lost. The default returns `None`, for networks that cannot search; a message can then be sent
    /// twice after a crash.
    ///
    /// # Errors
    /// [`SendError`].
    async fn find(&self, _room: &str, _key: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// The id of a room, by id or by a name of the network. `None` if the bot is in no such room.
    ///
    /// # Errors
    /// [`SendError::Later`] if that cannot be determined now.
    async fn room(&self, _name: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// The ids of the current members of a room, without the bot.
    ///
    /// # Errors
    /// [`SendError`]. The default returns [`SendError::Never`], for networks without member lists.
    async fn members(&self, _room: &str) -> Result<Vec<Person>, SendError> {
        Err(SendError::Never { reason: format!("{} has no list of a room's members", self.network()) })
    }

    /// Logs in and checks the configured rooms and those of these people that are on this network, without changing
    /// anything. For `check --connect`. Returns one line per success.
    ///
    /// # Errors
    /// One line per problem.
    async fn probe(&self, _people: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("{}: not checked", self.network())])
    }
}

/// Creates the [`Chat`] of one network from its table (`[bot.NAME.matrix]`).
///
/// ```
/// use wardroom::prelude::*;
///
/// let factory = ReadyChat(MemoryChat::new(ChatFeatures::PLAIN));
/// assert_eq!(factory.network(), MemoryChat::NETWORK);
/// ```
pub trait ChatFactory: Send + Sync + 'static {
    /// The name of the table.
    fn network(&self) -> &'static str;

    /// The keys of the table, with the path `bot.NAME.NETWORK`. The reference page has them, and the table takes no others.
    fn keys(&self) -> &'static TableKeys;

    /// Reads every key of the table. Problems are added to the table's list, and the result is then `None`. Must not
    /// connect or resolve secrets.
    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>>;
}

/// A factory for an existing [`Chat`]. The network's table must be empty. For embedders that create the chat
/// themselves.
///
/// ```
/// use wardroom::prelude::*;
///
/// let builder = Engine::builder().chat(ReadyChat(MemoryChat::new(ChatFeatures::PLAIN)));
/// # let _ = builder;
/// ```
pub struct ReadyChat(pub Arc<dyn Chat>);

impl ChatFactory for ReadyChat {
    fn network(&self) -> &'static str {
        self.0.network()
    }

    fn keys(&self) -> &'static TableKeys {
        &NO_KEYS
    }

    fn read(&self, _bot: &BotIdentity, _table: &mut Table) -> Option<Arc<dyn Chat>> {
        Some(self.0.clone())
    }
}
