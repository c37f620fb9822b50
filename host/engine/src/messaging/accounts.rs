//! The bots' accounts on the chat networks, and the choice of the account that sends a message.
//!
//! Not here: sending messages, which is in `outbox.rs`.

use std::sync::Arc;

use super::{
    outbox::{MAX_MESSAGE_LENGTH, MAX_PLUGIN_TEXT_LENGTH, Outbox, longest},
    pace::Pace,
    signs::Signs,
};
use crate::{
    adapter::{Accounts, Chat},
    base::Text,
    model::BotIdentity,
    store::{InboxRow, OutboxKind, OutboxRow, is_trigger_event},
};

/// An account of a bot on one network.
#[derive(Clone)]
pub(crate) struct Account {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The text before a command in the account's rooms; empty if no command there needs one.
    pub(crate) prefix: String,
    /// The chat adapter's connection of this account.
    pub(crate) chat: Arc<dyn Chat>,
    /// What the bot sends besides the messages for which people wait.
    pub(crate) signs: Signs,
    /// The rate limit of the account.
    pub(crate) pace: Arc<Pace>,
}

impl Account {
    pub(crate) fn new(bot: &BotIdentity, chat: Arc<dyn Chat>, signs: Signs) -> Self {
        let pace = Arc::new(Pace::new(chat.rate_limit()));
        let prefix = if chat.features().direct { String::new() } else { bot.prefix.clone() };
        Self { bot: bot.name.clone(), prefix, chat, signs, pace }
    }

    /// Creates an account with the prefix `!` and the default signs.
    #[cfg(test)]
    pub(crate) fn of(bot: &str, chat: Arc<dyn Chat>) -> Self {
        Self::new(&BotIdentity { name: bot.into(), prefix: "!".into() }, chat, Signs::default())
    }
}

/// A chat room, and the bot that sends messages to it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The bot's name in the configuration.
    pub(crate) bot: String,
    /// The name of the room's chat network, such as `matrix`.
    pub(crate) network: String,
    /// The room's id, or its name in the configuration.
    pub(crate) room: String,
}

impl Destination {
    /// Creates an outbox row for a message to this room, outside of any thread. `key` is the message's idempotency key.
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
    /// Returns whether `id` is the account id of a configured bot on `network`. Includes bots that run on another host.
    pub(crate) fn is_own(&self, network: &str, id: &str) -> bool {
        let same = |chat: &Arc<dyn Chat>| chat.network() == network && chat.account_id().is_some_and(|own| own == id);
        self.accounts.iter().map(|account| &account.chat).chain(&self.absent).any(same)
    }

    /// Returns whether the host may rely on the relations between messages in a room: threads, replies and reactions.
    /// See [`Chat::trusts_relations`]. Returns `true` if this host has no account of the bot on the network.
    pub(crate) fn trusts_relations(&self, bot: &str, network: &str, room: &str) -> bool {
        self.chat(bot, network).is_none_or(|chat| chat.trusts_relations(room))
    }

    /// Returns whether the host may rely on the thread that a received message names; see [`Chat::trusts_relations`].
    pub(crate) fn trusts_thread(&self, message: &InboxRow) -> bool {
        self.trusts_relations(&message.bot, &message.key.network, &message.key.room)
    }

    /// Returns whether this host handles a bot's jobs and messages: the bot runs on this host, or no configured bot has
    /// this name.
    pub(crate) fn runs(&self, bot: &str) -> bool {
        self.is_unknown_bot(bot) || self.accounts.iter().any(|account| account.bot == bot)
    }

    /// Returns whether no configured bot has this name. The store can contain the name of a bot that an operator
    /// removed from the configuration. Rows of older versions contain an empty name.
    fn is_unknown_bot(&self, bot: &str) -> bool {
        !self.identities.iter().any(|known| known == bot)
    }

    /// Returns the connection of a bot's account on a network. If no configured bot has this name, returns the
    /// connection of the first account on the network. Returns `None` if this host has no such account.
    pub(crate) fn chat(&self, bot: &str, network: &str) -> Option<&Arc<dyn Chat>> {
        self.account(bot, network).map(|account| &account.chat)
    }

    /// Returns a bot's account on a network, as [`Self::chat`] does.
    pub(crate) fn account(&self, bot: &str, network: &str) -> Option<&Account> {
        let any = self.is_unknown_bot(bot);
        let fits = |account: &&Account| account.chat.network() == network && (any || account.bot == bot);
        self.accounts.iter().find(fits)
    }

    /// Returns the maximum length of a plugin's text within a message, in bytes. This is at most half of the longest
    /// message of the network, because the host appends its own text.
    pub(crate) fn longest_plugin_text(&self, bot: &str, network: &str) -> usize {
        self.chat(bot, network)
            .map_or(MAX_MESSAGE_LENGTH, |chat| longest(&**chat))
            .div_euclid(2)
            .min(MAX_PLUGIN_TEXT_LENGTH)
    }

    /// Returns the destination for messages to a configured room. The sender is the first of these accounts on the
    /// room's network: an account of `bot` that lists the room in its configuration, any account that lists the room,
    /// any account of `bot`, any account. Returns `None` if this host has no account on the network.
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

    /// Returns the id of the thread for replies to a message: the message's own thread or, if it has none, a new thread
    /// below the message. Returns `None` on a network without threads, and for a command that a trigger started outside
    /// of a thread.
    pub(crate) fn thread(&self, message: &InboxRow) -> Option<String> {
        let threads = self.chat(&message.bot, &message.key.network).is_some_and(|chat| chat.features().threads);
        let own = || (!is_trigger_event(&message.key.event)).then(|| message.key.event.clone());
        message.thread.clone().or_else(own).filter(|_| threads)
    }
}

/// Returns whether an account lists a room in its configuration.
fn lists_room(account: &Account, room: &str) -> bool {
    account.chat.rooms().iter().any(|name| name == room)
}
