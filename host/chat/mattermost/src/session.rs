//! The state of the logged-in account that sending and receiving share: the client, the joined channels and the maximum
//! length of a message.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

use parking_lot::{Mutex, RwLock};
use tokio::sync::mpsc;
use wardroom::{
    adapter::{SendError, SendPermissions},
    model::Person,
};

use crate::{
    client::{ApiClient, ChannelKind, User},
    config::{Config, RoomName, is_id},
    convert::Converter,
    error::MattermostError,
    joined_channels::JoinedChannels,
    send::SendAttempts,
    users::UserCache,
};

/// Maximum length of a message, in characters, on servers that do not report their maximum. Only older versions of
/// Mattermost do not report it, and they have this fixed limit.
const FIXED_MAX_LENGTH: usize = 4_000;
/// Maximum length of a message, in characters, if the server's configuration cannot be read. The value is the default
/// of current versions.
const DEFAULT_MAX_LENGTH: usize = 16_383;
/// Lower bound of the maximum length of a message, in characters. If the server reports a lower maximum,
/// [`FIXED_MAX_LENGTH`] is used.
const MIN_MAX_LENGTH: usize = 500;
/// Upper bound of the maximum length of a message, in characters. If the server reports a higher maximum, this value is
/// used.
const MAX_MAX_LENGTH: usize = 65_535;
/// The reason for a channel that the bot is not in.
pub(crate) const NOT_IN_CHANNEL: &str = "the bot is not in the channel, or the channel is archived";
/// Maximum number of typing notices that wait for the socket. Further notices are not sent.
pub(crate) const MAX_TYPING: usize = 64;

pub(crate) struct Session {
    pub(crate) client: ApiClient,
    pub(crate) converter: Converter,
    pub(crate) users: UserCache,
    /// The channels that the bot is in; `None` until the server has listed them.
    channels: RwLock<Option<JoinedChannels>>,
    max_length: AtomicUsize,
    typing: mpsc::Sender<String>,
    pub(crate) attempts: Mutex<SendAttempts>,
    /// The channels in which the bot may not post.
    pub(crate) permissions: Arc<SendPermissions>,
}

impl Session {
    /// Creates a session. `typing` receives the ids of the channels in which the bot prepares a reply; the socket sends
    /// a typing notice to each.
    pub(crate) fn new(
        config: &Config,
        client: ApiClient,
        me: User,
        typing: mpsc::Sender<String>,
        permissions: Arc<SendPermissions>,
    ) -> Self {
        Self {
            client,
            converter: Converter { me: me.id, user_name: me.name, bot: config.bot.clone() },
            users: UserCache::default(),
            channels: RwLock::new(None),
            max_length: AtomicUsize::new(DEFAULT_MAX_LENGTH),
            typing,
            attempts: Mutex::default(),
            permissions,
        }
    }

    /// Returns the id of the bot's account.
    pub(crate) fn me(&self) -> &str {
        &self.converter.me
    }

    /// Returns the maximum length of a message on this server, in characters.
    pub(crate) fn max_length(&self) -> usize {
        self.max_length.load(Ordering::Relaxed)
    }

    /// Requests the maximum length of a message from the server, and stores it in the session.
    ///
    /// # Errors
    /// [`MattermostError::TokenRejected`]. After any other failure, [`DEFAULT_MAX_LENGTH`] is used.
    pub(crate) async fn look_up_max_length(&self) -> Result<(), MattermostError> {
        let length = match self.client.max_message_length().await {
            Ok(length) => {
                let reported = length.filter(|length| *length >= MIN_MAX_LENGTH).unwrap_or(FIXED_MAX_LENGTH);
                reported.min(MAX_MAX_LENGTH)
            }
            Err(end @ MattermostError::TokenRejected { .. }) => return Err(end),
            Err(error) => {
                tracing::debug!(%error, default = DEFAULT_MAX_LENGTH, "the server's maximum message length cannot be read; using the default");
                DEFAULT_MAX_LENGTH
            }
        };
        self.max_length.store(length, Ordering::Relaxed);
        Ok(())
    }

    /// Halves the maximum length of a message, but not below [`MIN_MAX_LENGTH`]. Called after the server rejected a
    /// message as too long. Returns the new maximum length.
    pub(crate) fn reduce_max_length(&self) -> usize {
        let reduced = (self.max_length() / 2).max(MIN_MAX_LENGTH);
        self.max_length.store(reduced, Ordering::Relaxed);
        reduced
    }

    pub(crate) fn change_channels(&self, change: impl FnOnce(&mut JoinedChannels)) {
        let mut channels = self.channels.write();
        change(channels.get_or_insert_default());
    }

    /// Calls `read` with the channels that the bot is in, and returns the result of `read`. Until the server has listed
    /// the channels, returns `None` and does not call `read`.
    pub(crate) fn with_channels<T>(&self, read: impl FnOnce(&JoinedChannels) -> T) -> Option<T> {
        self.channels.read().as_ref().map(read)
    }

    /// Returns the id of a channel that the bot is in. `name` is the channel's id or `team/channel`. Returns `None` if
    /// the bot is not in the channel.
    ///
    /// # Errors
    /// [`SendError::Later`] until the server has listed the channels.
    pub(crate) fn joined_channel_id(&self, name: &str) -> Result<Option<String>, SendError> {
        // The name may belong to a room of another network.
        let Some(name) = RoomName::parse(name) else { return Ok(None) };
        let found = self.with_channels(|channels| channels.named(&name).map(|channel| channel.id.clone()));
        found.ok_or_else(|| SendError::Later {
            after: None,
            reason: "the server has not listed the bot's channels yet".into(),
        })
    }

    /// Returns the id of the channel that `room` names. `room` is the channel's id or `team/channel`. An id is returned
    /// without a check, because the server rejects a request with an unknown id.
    ///
    /// # Errors
    /// [`SendError::Later`] until the server has listed the channels; [`SendError::Forbidden`] if the bot is not in the
    /// channel.
    pub(crate) fn resolve_channel(&self, room: &str) -> Result<String, SendError> {
        if is_id(room) {
            return Ok(room.to_owned());
        }
        self.joined_channel_id(room)?.ok_or_else(|| SendError::Forbidden {
            reason: format!(
                "the bot is not in the channel `{room}`; type `/invite @{}` in the channel",
                self.converter.user_name
            ),
        })
    }

    /// Returns the reason why the bot may not post in a channel; `None` if it may, or if that is unknown. `room` is the
    /// channel's id or `team/channel`.
    pub(crate) fn send_refusal(&self, room: &str) -> Option<String> {
        match self.joined_channel_id(room) {
            Ok(Some(id)) => self.permissions.reason(&id),
            Ok(None) => Some(NOT_IN_CHANNEL.to_owned()),
            Err(_) => None,
        }
    }

    /// Records whether the bot may post in a channel of a team, by the result of an attempt. A direct channel to which
    /// the bot may not post, for example because the person left, is not a fault of the account.
    pub(crate) fn record_permission(&self, room: &str, sent: &Result<String, SendError>) {
        let Ok(Some(id)) = self.joined_channel_id(room) else { return };
        let is_of_team =
            |channels: &JoinedChannels| channels.get(&id).is_some_and(|channel| channel.kind == ChannelKind::Team);
        if !self.with_channels(is_of_team).unwrap_or_default() {
            return;
        }
        match sent {
            Err(SendError::Forbidden { reason }) => drop(self.permissions.block(&id, reason)),
            Ok(_) => drop(self.permissions.allow(&id)),
            _ => {}
        }
    }

    /// Returns the members of a channel without the bot, each with its user name and once more with each display name.
    ///
    /// # Errors
    /// [`SendError::Later`] if a retry can succeed, [`SendError::Never`] otherwise.
    pub(crate) async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        let ids = self.client.members(&self.resolve_channel(room)?).await?;
        self.users.look_up(&self.client, ids.iter().map(String::as_str)).await?;
        let others = ids.iter().filter(|id| *id != self.me());
        Ok(others.flat_map(|id| std::iter::once(self.users.person(id)).chain(self.users.display_names(id))).collect())
    }

    /// Returns the person who has a handle now, and requests that from the server.
    ///
    /// # Errors
    /// [`SendError::Later`] if a retry can succeed, [`SendError::Never`] otherwise.
    pub(crate) async fn owner_of_handle(&self, handle: &str) -> Result<Option<Person>, SendError> {
        Ok(self.users.owner_of_handle(&self.client, handle).await?)
    }

    /// Passes a typing notice for a channel to the socket. If there is no connection, the socket sends the notice over
    /// the next connection. If the channel is unknown, or [`MAX_TYPING`] notices wait, no notice is sent.
    pub(crate) fn typing(&self, room: &str) {
        if let Ok(channel) = self.resolve_channel(room) {
            let _ = self.typing.try_send(channel);
        }
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use wardroom::base::{Secret, SecretRef};
    use wardroom_fake_mattermost::Server;

    use super::*;
    use crate::direct_messages::DirectMessagePolicy;

    /// Logs in on a fake server.
    pub(crate) async fn session_of(server: &Server, token: &str) -> Session {
        let config = Config {
            bot: "marvin".into(),
            url: server.url().parse().expect("a URL"),
            token: SecretRef::Env("T".into()),
            rooms: Vec::new(),
            direct: DirectMessagePolicy::Members,
            ca: None,
            folder: "unused".into(),
            heartbeat_interval: Duration::from_secs(30),
        };
        let client = ApiClient::new(&config, Secret::new(token)).expect("a client");
        let me = client.me().await.expect("an account");
        Session::new(&config, client, me, mpsc::channel(1).0, Arc::default())
    }

    #[tokio::test]
    async fn the_maximum_length_that_the_server_reports_is_used_within_bounds() {
        let server = Server::start().await.expect("a server");
        let (_, token) = server.bot("ops-bot");
        let session = session_of(&server, &token).await;
        for (reported, used) in [(1_500, 1_500), (1, FIXED_MAX_LENGTH), (usize::MAX, MAX_MAX_LENGTH)] {
            server.faults(|faults| faults.longest = reported);
            session.look_up_max_length().await.expect("an answer");
            assert_eq!(session.max_length(), used);
        }
    }
}
