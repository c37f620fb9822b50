//! The account while it is logged in: what those who send and those who listen both need.

use std::sync::{
    Mutex, PoisonError, RwLock,
    atomic::{AtomicUsize, Ordering},
};

use tokio::sync::mpsc;
use wardroom::{message::Person, port::SendError};

use crate::{
    api::{Api, User},
    config::{Config, RoomName, is_id},
    convert::Reader,
    places::Channels,
    send::Tries,
    trouble::Trouble,
    users::Users,
};

/// The longest message where the server's configuration says nothing of it: of servers before there was a choice.
const OLD_LONGEST: usize = 4_000;
/// Where the server does not show its configuration: what every server of today is set to.
const USUAL_LONGEST: usize = 16_383;
/// A server that says less says nothing of use.
const LEAST_LONGEST: usize = 500;

/// A logged-in account.
pub(crate) struct Account {
    pub(crate) api: Api,
    pub(crate) reader: Reader,
    pub(crate) users: Users,
    /// The channels that we are in; `None` until the server listed them.
    channels: RwLock<Option<Channels>>,
    longest: AtomicUsize,
    typing: mpsc::UnboundedSender<String>,
    pub(crate) tries: Mutex<Tries>,
}

impl Account {
    /// An account by what the server says of it. Channels in which an answer is being made are told to `typing`.
    pub(crate) fn new(config: &Config, api: Api, me: User, typing: mpsc::UnboundedSender<String>) -> Self {
        let reader = Reader { me: me.id, called: me.name, bot: config.bot.clone() };
        let longest = AtomicUsize::new(USUAL_LONGEST);
        Self {
            api,
            reader,
            users: Users::default(),
            channels: RwLock::new(None),
            longest,
            typing,
            tries: Mutex::default(),
        }
    }

    /// Our own id.
    pub(crate) fn me(&self) -> &str {
        &self.reader.me
    }

    /// The longest message, in characters.
    pub(crate) fn longest(&self) -> usize {
        self.longest.load(Ordering::Relaxed)
    }

    /// Asks the server for the longest message that it takes.
    pub(crate) async fn learn_longest(&self) -> Result<(), Trouble> {
        let longest = match self.api.longest_message().await {
            Ok(said) => said.filter(|said| *said >= LEAST_LONGEST).unwrap_or(OLD_LONGEST),
            Err(over @ Trouble::LoggedOut { .. }) => return Err(over),
            Err(trouble) => {
                tracing::debug!("the longest message is not known: {trouble}");
                USUAL_LONGEST
            }
        };
        self.longest.store(longest, Ordering::Relaxed);
        Ok(())
    }

    /// The server took less than it said; gives what is tried from now on.
    pub(crate) fn shorten(&self) -> usize {
        let shorter = (self.longest() / 2).max(LEAST_LONGEST);
        self.longest.store(shorter, Ordering::Relaxed);
        shorter
    }

    /// The server listed our channels anew, or some of them changed.
    pub(crate) fn change_channels(&self, change: impl FnOnce(&mut Channels)) {
        let mut channels = self.channels.write().unwrap_or_else(PoisonError::into_inner);
        change(channels.get_or_insert_default());
    }

    /// Looks at our channels; `None` until the server listed them.
    pub(crate) fn with_channels<T>(&self, look: impl FnOnce(&Channels) -> T) -> Option<T> {
        self.channels.read().unwrap_or_else(PoisonError::into_inner).as_ref().map(look)
    }

    /// The id of a channel that we are in, by its id or name; `None` where there is none.
    ///
    /// # Errors
    /// [`SendError::Later`] until the server listed our channels.
    pub(crate) fn channel(&self, name: &str) -> Result<Option<String>, SendError> {
        // A name of another network is none of ours.
        let Some(name) = RoomName::parse(name) else { return Ok(None) };
        let found = self.with_channels(|channels| channels.named(&name).map(|channel| channel.id.clone()));
        found.ok_or_else(|| SendError::Later { after: None, reason: "our channels are not listed yet".into() })
    }

    /// The id of the channel that something is sent to.
    ///
    /// # Errors
    /// [`SendError`]: it is no channel, or it is not known yet.
    pub(crate) fn target(&self, room: &str) -> Result<String, SendError> {
        if is_id(room) {
            // Whether we are in it is the server's to say.
            return Ok(room.to_owned());
        }
        self.channel(room)?.ok_or_else(|| SendError::Never { reason: format!("we are in no channel `{room}`") })
    }

    /// Who is in a channel, without ourselves.
    ///
    /// # Errors
    /// [`SendError`].
    pub(crate) async fn members(&self, room: &str) -> Result<Vec<Person>, SendError> {
        let ids = self.api.members(&self.target(room)?).await?;
        self.users.ask(&self.api, ids.iter().map(String::as_str)).await?;
        Ok(ids.iter().filter(|id| *id != self.me()).map(|id| self.users.person(id)).collect())
    }

    /// Shows that an answer is being made.
    pub(crate) fn typing(&self, room: &str) {
        if let Ok(channel) = self.target(room) {
            // Nobody listens where there is no connection, and nothing hangs on it.
            let _ = self.typing.send(channel);
        }
    }
}
