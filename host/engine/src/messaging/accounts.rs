//! The bots' accounts, and the choice of the account that sends a message.
//!
//! Not here: sending ([`Outbox`]).

use std::sync::Arc;

use super::outbox::{LONGEST_MESSAGE, LONGEST_PLUGIN_TEXT, Outbox, longest};
use crate::{
    adapter::{Accounts, Chat},
    base::Text,
    store::{InboxRow, OutboxKind, OutboxRow, is_announced},
};

/// An account of a bot on one network.
#[derive(Clone)]
pub(crate) struct Account {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The connection to the network.
    pub(crate) chat: Arc<dyn Chat>,
}

/// A room, and the bot that sends messages there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The network's name.
    pub(crate) network: String,
    /// The room's id, or its name in the configuration.
    pub(crate) room: String,
}

impl Destination {
    /// A message to this room, outside of any thread.
    pub(crate) fn say(self, key: String, text: Text) -> OutboxRow {
        let Self { bot, network, room } = self;
        OutboxRow { key, bot, network, room, thread: None, purpose: OutboxKind::Message, text }
    }
}

impl Accounts for Outbox {
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>> {
        let fits = self.accounts.iter().filter(|account| account.chat.network() == network);
        let (named, others): (Vec<_>, Vec<_>) = fits.partition(|account| names(account, room));
        named.into_iter().chain(others).map(|account| account.chat.clone()).collect()
    }
}

impl Outbox {
    /// All accounts that run here, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Account] {
        &self.accounts
    }

    /// Whether an id is the account of one of this configuration's bots, including bots that run on another host.
    pub(crate) fn is_own(&self, network: &str, id: &str) -> bool {
        let same = |chat: &Arc<dyn Chat>| chat.network() == network && chat.account_id().is_some_and(|own| own == id);
        self.accounts.iter().map(|account| &account.chat).chain(&self.absent).any(same)
    }

    /// Whether the relations of messages (threads, replies, reactions) in a room are trusted; see
    /// [`Chat::trusts_relations`].
    pub(crate) fn trusts_relations(&self, bot: &str, network: &str, room: &str) -> bool {
        self.chat(bot, network).is_none_or(|chat| chat.trusts_relations(room))
    }

    /// Whether the thread of a message is trusted.
    pub(crate) fn trusts_thread(&self, message: &InboxRow) -> bool {
        self.trusts_relations(&message.bot, &message.key.network, &message.key.room)
    }

    /// Whether this host handles a bot's jobs and messages: the bot runs here, or no host has it in its configuration.
    pub(crate) fn runs(&self, bot: &str) -> bool {
        self.is_unknown_bot(bot) || self.accounts.iter().any(|account| account.bot == bot)
    }

    /// Whether the configuration has no bot of this name: rows from before bots had names, and bots that were removed.
    fn is_unknown_bot(&self, bot: &str) -> bool {
        !self.identities.iter().any(|known| known == bot)
    }

    /// A bot's account on a network. For a name that no bot has, the first account on the network.
    pub(crate) fn chat(&self, bot: &str, network: &str) -> Option<&Arc<dyn Chat>> {
        let any = self.is_unknown_bot(bot);
        let fits = |account: &&Account| account.chat.network() == network && (any || account.bot == bot);
        self.accounts.iter().find(fits).map(|account| &account.chat)
    }

    /// The maximum length of a text to which other text is appended, in bytes: half of what the network accepts, so
    /// that both parts fit.
    pub(crate) fn longest_plugin_text(&self, bot: &str, network: &str) -> usize {
        self.chat(bot, network).map_or(LONGEST_MESSAGE, |chat| longest(&**chat)).div_euclid(2).min(LONGEST_PLUGIN_TEXT)
    }

    /// The destination for a room of the configuration. Its bot is the named one if its table lists the room, else
    /// another bot that lists the room, else the named one. `None` if no account is on the room's network.
    pub(crate) fn destination(&self, bot: &str, room: &crate::model::RoomName) -> Option<Destination> {
        let network = room.network.as_ref().unwrap_or(&self.network);
        let fits = || self.accounts.iter().filter(|account| account.chat.network() == network.as_str());
        let own = || fits().filter(|account| account.bot == bot);
        let account = own()
            .find(|account| names(account, &room.name))
            .or_else(|| fits().find(|account| names(account, &room.name)))
            .or_else(|| own().next())
            .or_else(|| fits().next())?;
        Some(Destination { bot: account.bot.clone(), network: network.clone(), room: room.name.clone() })
    }

    /// The thread for answers to a message: the message's own thread, else a thread below the message; `None` on
    /// networks without threads.
    pub(crate) fn thread(&self, message: &InboxRow) -> Option<String> {
        let threads = self.chat(&message.bot, &message.key.network).is_some_and(|chat| chat.features().threads);
        let own = || (!is_announced(&message.key.event)).then(|| message.key.event.clone());
        message.thread.clone().or_else(own).filter(|_| threads)
    }
}

/// Whether an account's configuration lists a room.
fn names(account: &Account, room: &str) -> bool {
    account.chat.rooms().iter().any(|name| name == room)
}
