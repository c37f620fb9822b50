//! The door for messages: what is meant for the bot becomes a row, once, before anything else happens.

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{addressing::Addressing, outbox::Outbox};
use crate::{
    adapter::{Inbox, Incoming, Position},
    base::{Activity, Text},
    job::approval_text,
    model::RoomName,
    policy::Access,
    store::{
        InboxKey, InboxRow, Mark, OutboxKind, OutboxRow, PendingRow, Reaction, Store, StoreError, TriggerSource, Write,
    },
};

/// What came.
pub(crate) struct Arrival {
    pub(crate) row: InboxRow,
    /// Whether it was read back.
    pub(crate) late: bool,
    /// The name under which it comes once.
    pub(crate) once: Option<String>,
    /// What announces it.
    pub(crate) words: Vec<OutboxRow>,
}

/// Matches messages that are not addressed to the bot.
pub(crate) trait Listener: Send + Sync {
    /// The command that a message starts, if it does. `is_here` says whether the message's room has this name.
    fn heard(&self, text: &str, is_here: &dyn Fn(&RoomName) -> bool) -> Option<TriggerSource>;
}

/// Where the adapter of one account brings messages.
pub(crate) struct AccountInbox {
    pub(crate) bot: String,
    pub(crate) network: &'static str,
    // Whether this is the first account of its network.
    pub(crate) first: bool,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) addressing: Addressing,
    // How the other identities on this network are addressed.
    pub(crate) others: Vec<Addressing>,
    pub(crate) admins: Vec<String>,
    pub(crate) access: Arc<Access>,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) activity: Activity,
    pub(crate) rows: mpsc::UnboundedSender<(InboxRow, bool, crate::base::AtWork)>,
}

#[async_trait]
impl Inbox for AccountInbox {
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError> {
        if let Some(position) = self.mark(room).await? {
            return Ok(position);
        }
        let position = Position { event: None, at: now };
        self.store.commit(vec![Write::Mark(self.mark_at(room, position.clone()))]).await?;
        Ok(position)
    }

    async fn mark(&self, room: &str) -> Result<Option<Position>, StoreError> {
        let own = self.store.mark(&self.bot, self.network, room).await?;
        let mark = match own {
            // A host that had one identity only kept its marks without a name.
            None if self.first => self.store.mark("", self.network, room).await?,
            own => own,
        };
        Ok(mark.map(|mark| Position { event: mark.event, at: mark.at }))
    }

    async fn receive(&self, room: &str, messages: Vec<Incoming>, mark: Option<Position>) -> Result<usize, StoreError> {
        let mark = mark.map(|position| self.mark_at(room, position));
        let mut kept = Vec::new();
        for message in messages {
            if self.is_for_us(&message).await? {
                kept.push(message);
            }
        }
        let arrivals: Vec<Arrival> = kept
            .into_iter()
            .filter_map(|message| {
                let (text, started) = self.meant(room, &message)?;
                let row = InboxRow {
                    key: InboxKey { network: self.network.into(), room: room.into(), event: message.event },
                    bot: self.bot.clone(),
                    thread: message.thread,
                    sender: message.sender,
                    text,
                    at: message.at,
                    direct: message.direct,
                    reaction: message.reaction,
                    unproven: message.unproven,
                    started,
                };
                Some(Arrival { row, late: message.late, once: message.once, words: Vec::new() })
            })
            .collect();
        self.take(arrivals, mark.into_iter().map(Write::Mark).collect()).await
    }

    fn takes(&self, room: &str, message: &Incoming) -> bool {
        self.meant(room, message).is_some()
    }

    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError> {
        let row = OutboxRow {
            key: format!("{}/{}/{room}/{key}", self.bot, self.network),
            bot: self.bot.clone(),
            network: self.network.into(),
            room: room.into(),
            thread,
            purpose: OutboxKind::Message,
            text,
        };
        self.store.commit(vec![Write::Say(row)]).await?;
        self.outbox.wake();
        Ok(())
    }

    fn is_admin(&self, person: &str) -> bool {
        self.admins.iter().any(|admin| admin == person)
    }

    async fn settled(&self) {
        self.activity.rest().await;
    }
}

impl AccountInbox {
    fn mark_at(&self, room: &str, position: Position) -> Mark {
        let Position { event, at } = position;
        Mark { bot: self.bot.clone(), network: self.network.into(), room: room.into(), event, at }
    }

    /// What a message is to us, if it is anything: words, and what set them off where nobody typed them to us.
    fn meant(&self, room: &str, message: &Incoming) -> Option<(String, Option<TriggerSource>)> {
        if message.reaction.is_some() {
            return Some((String::new(), None));
        }
        match self.addressing.command(message) {
            Some(text) => Some((text, None)),
            // Said to another identity that is here it is a command, and hers.
            None if self.others.iter().any(|other| other.command(message).is_some()) => None,
            None => self.heard(room, message).map(|started| (started.line(), Some(started))),
        }
    }

    /// What the operator listens for in a message that is not for us. Of it only that is kept.
    fn heard(&self, room: &str, message: &Incoming) -> Option<TriggerSource> {
        self.listener.heard(&message.text, &|name| self.access.is_room(name, (self.network, room)))
    }

    /// Takes what came and other changes in one transaction, and has that handled which is new; gives how many.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was taken.
    pub(crate) async fn take(&self, arrivals: Vec<Arrival>, more: Vec<Write>) -> Result<usize, StoreError> {
        if arrivals.is_empty() && more.is_empty() {
            return Ok(0);
        }
        // Counted as work before it is on disk, so that nobody sees a moment of rest in between.
        let at_work = self.activity.begin();
        let mut writes = Vec::with_capacity(arrivals.len() + more.len());
        let mut rows = Vec::with_capacity(arrivals.len());
        for Arrival { row, late, once, words } in arrivals {
            rows.push((row.clone(), late));
            match once {
                Some(name) => writes.push(Write::Once { name, came: Timestamp::now(), row, words }),
                None => {
                    writes.push(Write::Receive(row));
                    writes.extend(words.into_iter().map(Write::Say));
                }
            }
        }
        writes.extend(more);
        let new = self.store.commit(writes).await?;
        rows.retain(|(row, _)| new.contains(&row.key));
        let count = rows.len();
        for (row, late) in rows {
            // Nobody waits for an answer to what nobody typed.
            if row.reaction.is_none() && row.started.is_none() {
                self.outbox.waiting.arrived(&row.key);
            }
            // Nobody listens only while the host stops; the row is on disk and handled at the next start.
            let _ = self.rows.send((row, late, at_work.clone()));
        }
        Ok(count)
    }

    /// Whether a reaction may say something to us: a thumb on a message that asks, or one that is taken away.
    async fn is_for_us(&self, message: &Incoming) -> Result<bool, StoreError> {
        // What another of our accounts says is an answer, whatever it looks like.
        if self.outbox.is_own(self.network, &message.sender.id) {
            return Ok(false);
        }
        if message.machine && !self.access.machines.has(&message.sender.id) {
            return Ok(false);
        }
        match &message.reaction {
            None | Some(Reaction::Withdrawn { .. }) => Ok(true),
            Some(Reaction::Given { on, emoji }) => {
                if crate::job::thumb(emoji).is_none() {
                    return Ok(false);
                }
                match self.store.sent_as(self.network, on).await? {
                    Some(key) => Ok(approval_text::key_parts(&key).is_some()),
                    None => asks_unsent(&*self.store, self.network).await,
                }
            }
        }
    }
}

/// Whether a message that asks may stand in a room without being known by its event yet.
pub(crate) async fn asks_unsent(store: &dyn Store, network: &str) -> Result<bool, StoreError> {
    let asks = |pending: &PendingRow| {
        pending.event.is_none()
            && pending.row.network == network
            && approval_text::key_parts(&pending.row.key).is_some()
    };
    Ok(store.outbox().await?.iter().any(asks))
}
