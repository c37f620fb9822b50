//! Who speaks where: the accounts of the identities that run here, and what is known of those that do not.
//!
//! Not here: what is sent, and when (`outbox`).

use std::sync::Arc;

use super::outbox::{LONGEST_MESSAGE, LONGEST_SAID, Outbox, longest};
use crate::{
    adapter::{Accounts, Chat},
    base::Text,
    store::{InboxRow, OutboxKind, OutboxRow, is_announced},
};

/// One account of one identity.
#[derive(Clone)]
pub(crate) struct Account {
    /// The identity's name.
    pub(crate) bot: String,
    /// Its network.
    pub(crate) chat: Arc<dyn Chat>,
}

/// A room, and the account that speaks there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Destination {
    /// The identity's name.
    pub(crate) bot: String,
    /// The network.
    pub(crate) network: String,
    /// The room's id, or what the configuration calls it.
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
    /// All accounts, in the order of the file.
    pub(crate) fn all(&self) -> &[Account] {
        &self.accounts
    }

    /// Whether an id is one of our own accounts'.
    pub(crate) fn is_own(&self, network: &str, id: &str) -> bool {
        let same = |chat: &Arc<dyn Chat>| chat.network() == network && chat.account_id().is_some_and(|own| own == id);
        self.accounts.iter().map(|account| &account.chat).chain(&self.absent).any(same)
    }

    /// Whether what messages hang on in a room is believed.
    pub(crate) fn believes_relations(&self, bot: &str, network: &str, room: &str) -> bool {
        self.chat(bot, network).is_none_or(|chat| chat.believes_relations(room))
    }

    /// Whether the thread that a message stands in is believed.
    pub(crate) fn believes_thread(&self, message: &InboxRow) -> bool {
        self.believes_relations(&message.bot, &message.key.network, &message.key.room)
    }

    /// Whether what was asked through an identity is done here: it runs here, or it is none that any host runs.
    pub(crate) fn runs(&self, bot: &str) -> bool {
        self.is_nobody(bot) || self.accounts.iter().any(|account| account.bot == bot)
    }

    /// Whether a name is no identity's: it is empty in rows of the time when a host had one only, or its table is gone.
    fn is_nobody(&self, bot: &str) -> bool {
        !self.identities.iter().any(|known| known == bot)
    }

    /// The account of an identity on a network; the first on it for a name that is no identity's.
    pub(crate) fn chat(&self, bot: &str, network: &str) -> Option<&Arc<dyn Chat>> {
        let any = self.is_nobody(bot);
        let fits = |account: &&Account| account.chat.network() == network && (any || account.bot == bot);
        self.accounts.iter().find(fits).map(|account| &account.chat)
    }

    /// At how many bytes words are cut that others come behind, so that both get through.
    pub(crate) fn longest_said(&self, bot: &str, network: &str) -> usize {
        self.chat(bot, network).map_or(LONGEST_MESSAGE, |chat| longest(&**chat)).div_euclid(2).min(LONGEST_SAID)
    }

    /// Where a room that the configuration names is, and who speaks there: the identity named if its table names the room,
    /// else another one whose does, else the one named. `None` where nobody is in that network.
    pub(crate) fn spot(&self, bot: &str, room: &crate::model::RoomName) -> Option<Destination> {
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

    /// The thread that answers to a message go to: its own, or one below it; `None` where the network has none.
    pub(crate) fn thread(&self, message: &InboxRow) -> Option<String> {
        let threads = self.chat(&message.bot, &message.key.network).is_some_and(|chat| chat.abilities().threads);
        let own = || (!is_announced(&message.key.event)).then(|| message.key.event.clone());
        message.thread.clone().or_else(own).filter(|_| threads)
    }
}

/// Whether an account's table names a room.
fn names(account: &Account, room: &str) -> bool {
    account.chat.rooms().iter().any(|name| name == room)
}
