//! A chat network: where messages come from and where words go.

use std::{sync::Arc, time::Duration};

use async_trait::async_trait;
use tokio_util::sync::CancellationToken;

use super::link::Link;
use crate::{
    adapter::Inbox,
    base::{Table, Text},
    model::{BotIdentity, Person},
};

/// What a network can do beyond plain messages. Text alone must always be enough.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Abilities {
    /// Answers can be put in a thread below a message.
    pub threads: bool,
    /// A message can be changed after it was sent; elsewhere a card is sent once, when its job is at rest.
    pub edits: bool,
    /// A message can be marked with an emoji.
    pub reactions: bool,
    /// What does not fit in one message is sent as a file with it: texts of up to a mebibyte are handed over.
    pub files: bool,
}

impl Abilities {
    /// Nothing but messages, one after the other.
    pub const PLAIN: Self = Self { threads: false, edits: false, reactions: false, files: false };
}

/// Something to send.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Outgoing {
    /// Names this message for ever. A second send under the same key must not show a second message
    /// where the network can tell, and the key travels with it in a hidden field for [`Chat::find`].
    pub key: String,
    /// The room's own id on this network, or a name that [`Chat::room`] knows.
    pub room: String,
    /// What is sent.
    pub body: Body,
}

/// What is sent.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Body {
    /// A new message.
    Say {
        /// The words.
        text: Text,
        /// The event at the root of the thread it belongs to.
        thread: Option<String>,
    },
    /// New words for a message of ours.
    Edit {
        /// The message's event id, as [`Chat::send`] gave it.
        event: String,
        /// All of its words from now on.
        text: Text,
    },
    /// An emoji on somebody's message.
    React {
        /// The message's event id.
        event: String,
        /// The emoji itself.
        emoji: String,
    },
}

/// Why a message was not sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The network is away, busy, or limits our rate: the message is kept and tried again.
    #[error("not sent yet: {reason}")]
    Later {
        /// How long the network asks to wait, if it said.
        after: Option<Duration>,
        /// For the log.
        reason: String,
    },
    /// It will never take this message (no such room, not allowed there): dropped with a line in the log.
    #[error("cannot be sent: {reason}")]
    Never {
        /// For the log.
        reason: String,
    },
}

/// One account on one chat network.
#[async_trait]
pub trait Chat: Send + Sync + 'static {
    /// The network's name in keys, rules and the log: `console`, `matrix`.
    fn network(&self) -> &'static str;

    /// What it can do; plain messages if nothing is said.
    fn abilities(&self) -> Abilities {
        Abilities::PLAIN
    }

    /// Whether messages flow; `None` where they always do.
    fn link(&self) -> Option<&Link> {
        None
    }

    /// The rooms that its table names, as they are written there.
    fn rooms(&self) -> Vec<String> {
        Vec::new()
    }

    /// The account's own id, once it is known.
    fn account_id(&self) -> Option<String> {
        None
    }

    /// Whether what a message hangs on in a room is believed: the thread that it stands in, and the message that a reaction
    /// is on. Where it is not, because somebody between us could move them, an approval has to say what it approves of.
    fn believes_relations(&self, _room: &str) -> bool {
        true
    }

    /// Shows in a room that an answer is being made, where the network can. Nothing hangs on it.
    async fn typing(&self, _room: &str) {}

    /// Brings messages to the inbox until `stop`, through every network error. Returns early only when
    /// it can never go on (for example a revoked login, or a console whose input ended).
    ///
    /// # Errors
    /// Why it can never go on.
    async fn serve(&self, inbox: Arc<dyn Inbox>, stop: CancellationToken) -> anyhow::Result<()>;

    /// Sends one message and gives the network's id of it. Must be safe to call before [`Chat::serve`]
    /// has connected: it then answers [`SendError::Later`].
    ///
    /// # Errors
    /// [`SendError`].
    async fn send(&self, message: &Outgoing) -> Result<String, SendError>;

    /// Looks back in a room for a message of ours that carries this key, for when an answer to
    /// [`Chat::send`] was lost in a crash. `None` also where the network cannot look back, as if nothing
    /// is said; such a network may see a message twice after a crash.
    ///
    /// # Errors
    /// [`SendError`].
    async fn find(&self, _room: &str, _key: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// The id of a room by what the configuration calls it: an id of this network, or a name that it knows. `None` where
    /// the bot is in no such room.
    ///
    /// # Errors
    /// [`SendError::Later`] where that cannot be told now.
    async fn room(&self, _name: &str) -> Result<Option<String>, SendError> {
        Ok(None)
    }

    /// Who is in a room now, by the network's own ids, without the bot itself.
    ///
    /// # Errors
    /// [`SendError`]; a network that cannot tell says [`SendError::Never`], as if nothing is said.
    async fn members(&self, _room: &str) -> Result<Vec<Person>, SendError> {
        Err(SendError::Never { reason: format!("{} does not tell who is in a room", self.network()) })
    }

    /// Logs in, looks up rooms and those of these people that are this network's, and changes nothing; for
    /// `check --connect`.
    ///
    /// # Errors
    /// One line a problem.
    async fn probe(&self, _people: &[String]) -> Result<Vec<String>, Vec<String>> {
        Ok(vec![format!("{}: not looked at", self.network())])
    }
}

/// Reads the table of one network (`[bot.NAME.matrix]`) and makes its [`Chat`].
pub trait ChatFactory: Send + Sync + 'static {
    /// The table's name.
    fn network(&self) -> &'static str;

    /// Reads every key of the table; problems go to the table's list. `None` where there were any.
    /// Must not connect, and must not resolve secrets.
    fn read(&self, bot: &BotIdentity, table: &mut Table) -> Option<Arc<dyn Chat>>;
}

/// Gives a ready-made chat to the table of its network, which takes no keys. For embedders, whose own
/// program has set it up.
pub struct ReadyChat(pub Arc<dyn Chat>);

impl ChatFactory for ReadyChat {
    fn network(&self) -> &'static str {
        self.0.network()
    }

    fn read(&self, _bot: &BotIdentity, _table: &mut Table) -> Option<Arc<dyn Chat>> {
        Some(self.0.clone())
    }
}
