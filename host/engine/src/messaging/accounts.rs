//! The bots' accounts, and the choice of the account that sends a message.
//!
//! Not here: sending messages (`outbox`).

use std::sync::Arc;

use super::outbox::{LONGEST_MESSAGE, LONGEST_PLUGIN_TEXT, Outbox, longest};
use crate::{
    adapter::{Accounts, Chat},
    base::Text,
    store::{InboxRow, OutboxKind, OutboxRow, is_trigger_event},
};

/// An account of a bot on one network.
#[derive(Clone)]
pub(crate) struct Account {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The connection to the network.
    pub(crate) chat: Arc<dyn Chat>,
}

/// A room, and the bot that sends messages to the room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The name of the network, such as `matrix`.
    pub(crate) network: String,
    /// The room's id, or its name in the configuration.
    pub(crate) room: String,
}

impl Destination {
    /// Creates a message to this room, outside of any thread.
    pub(crate) fn say(self, key: String, text: Text) -> OutboxRow {
        let Self { bot, network, room } = self;
        OutboxRow { key, bot, network, room, thread: None, purpose: OutboxKind::Message, text }
    }
}

impl Accounts for Outbox {
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>> {
        let fits = self.accounts.iter().filter(|account| account.chat.network() == network);
        let (named, others): (Vec<_>, Vec<_>) = fits.partition(|account| lists_room(account, room));
        named.into_iter().chain(others).map(|account| account.chat.clone()).collect()
    }
}

impl Outbox {
    /// Returns the accounts of the bots on this host, in the order of the configuration.
    pub(crate) fn all(&self) -> &[Account] {
        &self.accounts
    }

    /// Returns whether an id is the account of a configured bot, including the bots that run on another host.
    pub(crate) fn is_own(&self, network: &str, id: &str) -> bool {
        let same = |chat: &Arc<dyn Chat>| chat.network() == network && chat.account_id().is_some_and(|own| own == id);
        self.accounts.iter().map(|account| &account.chat).chain(&self.absent).any(same)
    }

    /// Returns whether the relations of messages in a room (threads, replies, reactions) are trusted; see
    /// [`Chat::trusts_relations`].
    pub(crate) fn trusts_relations(&self, bot: &str, network: &str, room: &str) -> bool {
        self.chat(bot, network).is_none_or(|chat| chat.trusts_relations(room))
    }

    /// Returns whether the thread of a message is trusted.
    pub(crate) fn trusts_thread(&self, message: &InboxRow) -> bool {
        self.trusts_relations(&message.bot, &message.key.network, &message.key.room)
    }

    /// Returns whether this host handles a bot's jobs and messages: the bot runs on this host, or it is not configured.
    pub(crate) fn runs(&self, bot: &str) -> bool {
        self.is_unknown_bot(bot) || self.accounts.iter().any(|account| account.bot == bot)
    }

    /// Returns whether no configured bot has this name. Old rows have an empty name, and an operator can remove a bot
    /// from the configuration.
    fn is_unknown_bot(&self, bot: &str) -> bool {
        !self.identities.iter().any(|known| known == bot)
    }

    /// Returns a bot's connection to a network. For an unknown bot, returns the network's first account.
    pub(crate) fn chat(&self, bot: &str, network: &str) -> Option<&Arc<dyn Chat>> {
        let any = self.is_unknown_bot(bot);
        let fits = |account: &&Account| account.chat.network() == network && (any || account.bot == bot);
        self.accounts.iter().find(fits).map(|account| &account.chat)
    }

    /// Returns the maximum length of a plugin's text within a message, in bytes. It is half of what the network
    /// accepts, because the host appends text of its own.
    pub(crate) fn longest_plugin_text(&self, bot: &str, network: &str) -> usize {
        self.chat(bot, network).map_or(LONGEST_MESSAGE, |chat| longest(&**chat)).div_euclid(2).min(LONGEST_PLUGIN_TEXT)
    }

    /// Returns the destination for a configured room. Its bot is `bot` if that bot lists the room, else another bot
    /// that lists the room, else `bot`, else any bot on the network. Returns `None` if no bot has an account on the
    /// network.
    pub(crate) fn destination(&self, bot: &str, room: &crate::model::RoomName) -> Option<Destination> {
        let network = room.network.as_ref().unwrap_or(&self.network);
        let fits = || self.accounts.iter().filter(|account| account.chat.network() == network.as_str());
        let own = || fits().filter(|account| account.bot == bot);
        let account = own()
            .find(|account| lists_room(account, &room.name))
            .or_else(|| fits().find(|account| lists_room(account, &room.name)))
            .or_else(|| own().next())
            .or_else(|| fits().next())?;
        Some(Destination { bot: account.bot.clone(), network: network.clone(), room: room.name.clone() })
    }

    /// Returns the thread for answers to a message: the thread of the message, else a new thread below the message.
    /// Returns `None` on a network without threads, and for a triggered command without a thread.
    pub(crate) fn thread(&self, message: &InboxRow) -> Option<String> {
        let threads = self.chat(&message.bot, &message.key.network).is_some_and(|chat| chat.features().threads);
        let own = || (!is_trigger_event(&message.key.event)).then(|| message.key.event.clone());
        message.thread.clone().or_else(own).filter(|_| threads)
    }
}

/// Returns whether an account's configuration lists a room.
fn lists_room(account: &Account, room: &str) -> bool {
    account.chat.rooms().iter().any(|name| name == room)
}
