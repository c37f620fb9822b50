//! The trait that a chat adapter implements, and the types of the messages that the engine sends through the adapter.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::{link::Link, send_permissions::SendPermissions};
use crate::{
    adapter::Inbox,
    base::{Table, TableKeys, Text, redactor},
    model::{BotIdentity, Person},
};

/// The optional features of a chat network. Every text that the engine sends must also be readable on a network without
/// these features.
///
/// ```
/// use wardroom::prelude::*;
///
/// let features = ChatFeatures { threads: true, ..ChatFeatures::PLAIN };
/// assert!(features.threads && !features.edits);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChatFeatures {
    /// Whether the bot can send a message to the thread of another message.
    pub threads: bool,
    /// Whether the bot can edit a message that it sent. Without edits, the engine sends the status message of a job
    /// only once, as soon as the job waits or has ended.
    pub edits: bool,
    /// Whether the bot can put an emoji on a message.
    pub reactions: bool,
    /// Whether the adapter attaches a long text as a file. If `true`, the engine passes texts of up to 1 MiB to the
    /// adapter, and the adapter attaches each text that is too long for one message.
    pub files: bool,
    /// Whether every room of the network is a direct conversation with the bot, as on a console. The engine then leaves
    /// out the bot's prefix in commands that it suggests.
    pub direct: bool,
}

impl ChatFeatures {
    /// The features of a network that has only plain messages.
    pub const PLAIN: Self = Self { threads: false, edits: false, reactions: false, files: false, direct: false };
}

/// The number of messages that a network accepts from one account, as a token bucket.
///
/// ```
/// use wardroom::prelude::*;
///
/// let limit = RateLimit { burst: 10.0, per_second: 0.2 };
/// assert!(limit.burst > limit.per_second);
/// ```
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RateLimit {
    /// The number of messages that the network accepts at once after a pause.
    pub burst: f64,
    /// The number of further messages per second.
    pub per_second: f64,
}

/// A message that the engine passes to [`Chat::send`].
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
    /// The idempotency key. If the network can detect a repeated key, a second send with the same key must not create a
    /// second message. The adapter stores the key in a hidden field of the message, so that [`Chat::find`] can find it.
    pub key: String,
    /// The id of the room on the network, or a name that [`Chat::room`] accepts: `#ops:example.org`.
    pub room: String,
    /// The content of the message: a new text, an edit or a reaction.
    pub body: Body,
}

impl Outgoing {
    /// Returns the message without the secrets that this process has resolved.
    pub(crate) fn redacted(&self) -> Self {
        let mut message = self.clone();
        if let Body::Say { text, .. } | Body::Edit { text, .. } = &mut message.body {
            text.redact(&redactor());
        }
        message
    }
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
        /// The text of the message.
        text: Text,
        /// The id of the first message of the thread; `None` outside of a thread.
        thread: Option<String>,
    },
    /// An edit of a message that the bot sent.
    Edit {
        /// The event id that [`Chat::send`] returned for the edited message.
        event: String,
        /// The new text, which replaces the whole old text.
        text: Text,
    },
    /// An emoji that the bot puts on a message.
    React {
        /// The event id of the message that gets the emoji.
        event: String,
        /// The emoji as Unicode text: `👀`.
        emoji: String,
    },
}

/// The error of a request to a chat network.
///
/// ```
/// use wardroom::prelude::*;
///
/// let error = SendError::Later { after: None, reason: "503".into() };
/// assert_eq!(error.to_string(), "temporary error: 503");
/// ```
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// A temporary error, for example an outage of the network or a rate limit. The engine sends the message again
    /// later.
    #[error("temporary error: {reason}")]
    Later {
        /// The delay before the next attempt; `None` if the network requires no delay.
        after: Option<Duration>,
        /// The cause of the error, for the log.
        reason: String,
    },
    /// The account may not send to the room now: a permission is missing, or the account is not in the room. The
    /// engine keeps the messages to the room, and sends them when [`Chat::send_permissions`] reports that the account
    /// may send again, or after a delay. An adapter returns this error only if no message can be sent to the room. For
    /// the rejection of one message, it returns [`SendError::Never`].
    #[error("no permission: {reason}")]
    Forbidden {
        /// The cause of the error, for the log.
        reason: String,
    },
    /// A permanent error, for example an unknown room. The engine logs the error and drops the message.
    #[error("permanent error: {reason}")]
    Never {
        /// The cause of the error, for the log.
        reason: String,
    },
}

/// An account of a bot on a chat network. The adapter for the network implements this trait.
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
/// let builder = Engine::builder().chat(Arc::new(Printer));
/// # let _ = builder;
/// ```
#[async_trait]
pub trait Chat: Send + Sync + 'static {
    /// Returns the name of the network, for example `matrix`. Stored keys, rules and logs contain this name.
    fn network(&self) -> &'static str;

    /// Returns the optional features of the network. The default is [`ChatFeatures::PLAIN`].
    fn features(&self) -> ChatFeatures {
        ChatFeatures::PLAIN
    }

    /// Returns the state of the account's connection; `None` for a network that is always connected.
    fn link(&self) -> Option<&Link> {
        None
    }

    /// Returns the rooms to which the account may not send now; `None` for a network without permissions.
    fn send_permissions(&self) -> Option<&SendPermissions> {
        None
    }

    /// Returns the reason why the account may not send to a room now; `None` if it may, or if that is unknown. `room` is
    /// the id of the room or a name that [`Chat::room`] accepts. The engine starts no action from a room to which the
    /// bot cannot send the result. The default implementation looks the room up in [`Chat::send_permissions`].
    async fn send_refusal(&self, room: &str) -> Option<String> {
        self.send_permissions()?.reason(room)
    }

    /// Returns the rooms in the account's configuration, as the operator wrote them: `#ops:example.org`.
    fn rooms(&self) -> Vec<String> {
        Vec::new()
    }

    /// Returns the account's id on the network: `@marvin:example.org`. Returns `None` before the account is logged in.
    fn account_id(&self) -> Option<String> {
        None
    }

    /// Returns the limit that a server of this network has by default; `None` if the network has no usual limit. While
    /// the limit has little room, the engine sends only messages for which people wait, and no status cards. If the
    /// network accepts more messages, the engine no longer applies the limit.
    fn rate_limit(&self) -> Option<RateLimit> {
        None
    }

    /// Returns whether the engine can trust the relations of messages in a room: the thread of a message and the target
    /// of a reaction. An adapter returns `false` if a third party can alter relations, as in some encrypted rooms. In a
    /// room without trusted relations, reactions do not count as approvals, and an approval must name its job.
    fn trusts_relations(&self, _room: &str) -> bool {
        true
    }

    /// Shows in a room that the bot is typing. The default implementation does nothing. An implementation must ignore
    /// errors.
    async fn typing(&self, _room: &str) {}

    /// Connects the account to the network, and passes each received message to `inbox` until `stop` is cancelled.
    /// Reconnects after network errors. Returns before `stop` is cancelled only after a permanent error, for example a
    /// revoked login. The adapter for the console also returns at the end of its input.
    ///
    /// # Errors
    /// Returns the permanent error.
    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()>;

    /// Sends a message and returns its event id. The engine can call this method before [`Chat::serve`] has connected;
    /// the result is then [`SendError::Later`].
    ///
    /// # Errors
    /// [`SendError::Later`] if the engine must send the message again; [`SendError::Forbidden`] if the account may not
    /// send to the room now; [`SendError::Never`] if the message can never be sent.
    async fn send(&self, message: &Outgoing) -> Result<String, SendError>;

    /// Searches a room for the message that the bot sent with the idempotency key `key`. Returns the event id of the
    /// message; `None` if the room has no such message. After a crash of the host, the engine may have lost the result
    /// of [`Chat::send`], and calls this method to find the message.
    ///
    /// The default implementation returns `None`, for networks that cannot search messages. On such a network, the
    /// engine can send a message twice after a crash.
    ///
    /// # Errors
    /// [`SendError`] if the room could not be searched.
    async fn find(&self, _room: &str, _key: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// Returns the id of a room. `name` is the id of the room or a name of the room on the network. Returns `None` if
    /// the bot is not in the room.
    ///
    /// # Errors
    /// [`SendError::Later`] if the network is unavailable.
    async fn room(&self, _name: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// Returns the current members of a room, without the bot. A member with several names, for example a user name and
    /// a display name, can be in the list once for each name.
    ///
    /// # Errors
    /// [`SendError`] if the members could not be requested. The default implementation always returns
    /// [`SendError::Never`], for networks without member lists.
    async fn members(&self, _room: &str) -> Result<Vec<Person>, SendError> {
        Err(SendError::Never { reason: format!("the network `{}` cannot list the members of a room", self.network()) })
    }

    /// Returns the person who has the unique handle `handle` on the network now. `handle` has no leading `@`. Returns
    /// `None` if nobody has this handle. The engine calls this method for a command that names a person, because a
    /// person can change a handle and somebody else can take it. So an implementation must ask the network, and not use
    /// a cache or a name that arrived with a message.
    ///
    /// The default implementation returns `None`, for networks whose ids contain the handle, for example
    /// `@bob:example.org`, and for networks without unique handles.
    ///
    /// # Errors
    /// [`SendError`] if the network could not be asked.
    async fn owner_of_handle(&self, _handle: &str) -> Result<Option<Person>, SendError> {
        Ok(None)
    }

    /// Runs the checks of `wardroom check --connect`: logs in, looks up the rooms of the account's own table, and looks up
    /// each id in `people` that belongs to this network. `rooms` are the names of further rooms to which the host sends
    /// messages through this account, so the account must be in these rooms. Changes nothing. Returns one line per passed
    /// check.
    ///
    /// # Errors
    /// Returns one line of text per failed check.
    async fn probe(&self, _people: &[String], _rooms: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("{}: not checked, because the chat adapter has no connection check", self.network())])
    }
}

/// Creates the chat adapter ([`Chat`]) of one network from the network's configuration table, for example
/// `[bot.NAME.matrix]`.
///
/// ```
/// use wardroom::prelude::*;
///
/// let factory = MemoryChat::new(ChatFeatures::PLAIN);
/// assert_eq!(factory.network(), MemoryChat::NETWORK);
/// ```
pub trait ChatFactory: Send + Sync + 'static {
    /// Returns the name of the network, which is also the name of its configuration table: `matrix`.
    fn network(&self) -> &'static str;

    /// Returns the keys of the network's table, whose path is `bot.NAME.NETWORK`. The configuration reference lists
    /// these keys; any other key in the table is a configuration problem.
    fn keys(&self) -> &'static TableKeys;

    /// Checks that a message that begins with this prefix arrives on the network as it was typed. The default
    /// implementation accepts every prefix.
    ///
    /// # Errors
    /// The reason in one line, for the configuration problem.
    fn check_prefix(&self, _prefix: &str) -> Result<(), String> {
        Ok(())
    }

    /// Reads every key of the network's table. If a value is not valid, adds a configuration problem to the table's
    /// list and returns `None`. Must not connect or resolve secrets.
    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>>;
}

/// Lets an embedder pass a chat adapter that already exists to the engine instead of a factory. The adapter reads no
/// configuration, so the table `[bot.NAME.NETWORK]` must be empty.
impl<C: Chat> ChatFactory for Arc<C> {
    fn network(&self) -> &'static str {
        Chat::network(&**self)
    }

    fn keys(&self) -> &'static TableKeys {
        &TableKeys::NONE
    }

    fn read(&self, _bot: &BotIdentity, _table: &mut Table) -> Option<Arc<dyn Chat>> {
        Some(self.clone())
    }
}

/// Looks up the bots' accounts on a chat network. When the engine checks a person's rights, it uses these accounts to
/// request the ids and members of rooms, because a right can depend on both.
pub(crate) trait Accounts: Send + Sync {
    /// Returns the bots' accounts on the chat network `network`. Accounts whose configuration lists the room `room`
    /// come first.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
