//! The logged-in account: what sending and receiving share.

use std::sync::{
    Mutex, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;
use wardroom::{adapter::SendError, model::Person};

use crate::{
    client::{ApiClient, User},
    config::{Config, RoomName, is_id},
    convert::Converter,
    error::MattermostError,
    joined_channels::JoinedChannels,
    send::SendAttempts,
    users::UserCache,
};

/// The limit of servers that do not tell one: older versions have a fixed limit.
const FIXED_MAX_LENGTH: usize = 4_000;
/// The limit where the server's configuration cannot be read: the default of present versions.
const DEFAULT_MAX_LENGTH: usize = 16_383;
/// A smaller limit is not plausible and is ignored.
const MIN_MAX_LENGTH: usize = 500;

/// A logged-in account.
pub(crate) struct Session {
    pub(crate) client: ApiClient,
    pub(crate) converter: Converter,
    pub(crate) users: UserCache,
    /// The channels that the bot is in; `None` until the server listed them.
    channels: RwLock<Option<JoinedChannels>>,
    max_length: AtomicUsize,
    typing: mpsc::UnboundedSender<String>,
    pub(crate) attempts: Mutex<SendAttempts>,
}

impl Session {
    /// `typing` receives the channels in which the bot is preparing an answer.
    pub(crate) fn new(config: &Config, client: ApiClient, me: User, typing: mpsc::UnboundedSender<String>) -> Self {
        let converter = Converter { me: me.id, user_name: me.name, bot: config.bot.clone() };
        let max_length = AtomicUsize::new(DEFAULT_MAX_LENGTH);
        Self {
            client,
            converter,
            users: UserCache::default(),
            channels: RwLock::new(None),
            max_length,
            typing,
            attempts: Mutex::default(),
        }
    }

    /// The account's id.
    pub(crate) fn me(&self) -> &str {
        &self.converter.me
    }

    /// The longest message that the server accepts, in characters.
    pub(crate) fn max_length(&self) -> usize {
        self.max_length.load(Ordering::Relaxed)
    }

    /// Looks up the longest message that the server accepts.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`]; any other failure selects the default.
    pub(crate) async fn look_up_max_length(&self) -> Result<(), MattermostError> {
        let length = match self.client.max_message_length().await {
            Ok(length) => length.filter(|length| *length >= MIN_MAX_LENGTH).unwrap_or(FIXED_MAX_LENGTH),
            Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
            Err(error) => {
                tracing::debug!(%error, default = DEFAULT_MAX_LENGTH, "the server's maximum message length cannot be read; using the default");
                DEFAULT_MAX_LENGTH
            }
        };
        self.max_length.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// Halves the longest message after the server rejected one of that length, and returns it.
    pub(crate) fn reduce_max_length(&self) -> usize {
        let reduced = (self.max_length() / 2).max(MIN_MAX_LENGTH);
        self.max_length.store(reduced, Ordering::Relaxed);
        reduced
    }

    /// Changes the list of channels.
    pub(crate) fn change_channels(&self, change: impl FnOnce(&mut JoinedChannels)) {
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        change(channels.get_or_insert_default());
    }

    /// Reads the list of channels; `None` until the server listed them.
    pub(crate) fn with_channels<T>(&self, read: impl FnOnce(&JoinedChannels) -> T) -> Option<T> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(read)
    }

    /// The id of a joined channel by its id or name; `None` where there is none.
    ///
    /// # Errors
    /// [`SendError::Later`] until the server listed the channels.
    pub(crate) fn joined_channel_id(&self, name: &str) -> Result<Option<String>, SendError> {
        // The name can be that of a room on another network.
        let Some(name) = RoomName::parse(name) else { return Ok(None) };
        let found = self.with_channels(|channels| channels.named(&name).map(|channel| channel.id.clone()));
        found.ok_or_else(|| SendError::Later {
            after: None,
            reason: "the server has not listed the bot's channels yet".into(),
        })
    }

    /// The id of the channel that a message is sent to. An id is not checked, because the server rejects an unknown one.
    ///
    /// # Errors
    /// [`SendError`].
    pub(crate) fn resolve_channel(&self, room: &str) -> Result<String, SendError> {
        if is_id(room) {
            return Ok(room.to_owned());
        }
        self.joined_channel_id(room)?.ok_or_else(|| SendError::Never {
            reason: format!(
                "the bot is not in the channel `{room}`; type `/invite @{}` there",
                self.converter.user_name
            ),
        })
    }

    /// The members of a channel without the bot.
    ///
    /// # Errors
    /// [`SendError`].
    pub(crate) async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        let ids = self.client.members(&self.resolve_channel(room)?).await?;
        self.users.look_up(&self.client, ids.iter().map(String::as_str)).await?;
        Ok(ids.iter().filter(|id| *id != self.me()).map(|id| self.users.person(id)).collect())
    }

    /// Shows a typing notice. It is lost without a connection, which has no consequence.
    pub(crate) fn typing(&self, room: &str) {
        if let Ok(channel) = self.resolve_channel(room) {
            let _ = self.typing.send(channel);
        }
    }
}
