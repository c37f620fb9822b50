//! The door for messages: what is meant for the bot becomes a row, once, before anything else happens.

use std::sync::Arc;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{Addressing, Person};
use crate::{
    approval,
    job::Activity,
    port::store::{InboxKey, InboxRow, Mark, OutboxRow, Purpose, Reaction, Store, StoreError, Write},
    reply::{Outbox, Text},
};

/// A message as an adapter read it: a person's own new words, never an edit, a notice or our own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Incoming {
    /// The network's id of it.
    pub event: String,
    /// The root of the thread that it stands in, if any.
    pub thread: Option<String>,
    /// Who wrote it.
    pub sender: Person,
    /// The words, without quoted text and code blocks.
    pub text: String,
    /// What it says of another message, where it is no message of its own.
    pub reaction: Option<Reaction>,
    /// When, by the network's clock.
    pub at: Timestamp,
    /// Whether nobody else is in the room, so that no prefix is needed.
    pub direct: bool,
    /// Whether it was read back, and did not come as it was sent: only such a one can be too old to be handled.
    pub late: bool,
}

/// Where adapters bring messages.
pub struct Inbox {
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) addressing: Addressing,
    pub(crate) admins: Vec<String>,
    pub(crate) activity: Activity,
    pub(crate) rows: mpsc::UnboundedSender<(InboxRow, bool, crate::job::AtWork)>,
}

impl Inbox {
    /// The bot is in a room. The first time this is kept as the moment before which nothing is handled;
    /// gives the mark that stands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn enter(&self, network: &str, room: &str, now: Timestamp) -> Result<Mark, StoreError> {
        if let Some(mark) = self.store.mark(network, room).await? {
            return Ok(mark);
        }
        let mark = Mark { network: network.into(), room: room.into(), event: None, at: now };
        self.store.commit(vec![Write::Mark(mark.clone())]).await?;
        Ok(mark)
    }

    /// How far a room was read; `None` where the bot never was.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn mark(&self, network: &str, room: &str) -> Result<Option<Mark>, StoreError> {
        self.store.mark(network, room).await
    }

    /// Takes messages of one room, oldest first, and moves its mark in the same transaction. What is not
    /// addressed to the bot is left, what is known already is ignored. When this returns, the rest is on
    /// disk and being handled: the adapter's own sync position may move on. Gives how many were new.
    ///
    /// # Errors
    /// [`StoreError`]; nothing was taken, bring the same messages again.
    pub async fn receive(
        &self,
        network: &str,
        room: &str,
        messages: Vec<Incoming>,
        mark: Option<Mark>,
    ) -> Result<usize, StoreError> {
        let mut kept = Vec::new();
        for message in messages {
            if self.is_for_us(network, &message).await? {
                kept.push(message);
            }
        }
        let mut rows: Vec<(InboxRow, bool)> = kept
            .into_iter()
            .filter_map(|message| {
                let text = match &message.reaction {
                    Some(_) => String::new(),
                    None => self.addressing.command(&message)?,
                };
                let row = InboxRow {
                    key: InboxKey { network: network.into(), room: room.into(), event: message.event },
                    thread: message.thread,
                    sender: message.sender,
                    text,
                    at: message.at,
                    direct: message.direct,
                    reaction: message.reaction,
                };
                Some((row, message.late))
            })
            .collect();
        if rows.is_empty() && mark.is_none() {
            return Ok(0);
        }
        // Counted as work before it is on disk, so that nobody sees a moment of rest in between.
        let at_work = self.activity.begin();
        let writes = rows.iter().map(|(row, _)| Write::Receive(row.clone())).chain(mark.map(Write::Mark)).collect();
        let new = self.store.commit(writes).await?;
        rows.retain(|(row, _)| new.contains(&row.key));
        let count = rows.len();
        for (row, late) in rows {
            // Nobody listens only while the host stops; the row is on disk and handled at the next start.
            let _ = self.rows.send((row, late, at_work.clone()));
        }
        Ok(count)
    }

    /// Whether a reaction may say something to us: a thumb on a message that asks, or one that is taken away.
    async fn is_for_us(&self, network: &str, message: &Incoming) -> Result<bool, StoreError> {
        match &message.reaction {
            None | Some(Reaction::Withdrawn { .. }) => Ok(true),
            Some(Reaction::Given { on, emoji }) => {
                if crate::engine::thumb(emoji).is_none() {
                    return Ok(false);
                }
                match self.store.sent_as(network, on).await? {
                    Some(key) => Ok(approval::key_parts(&key).is_some()),
                    None => crate::engine::asks_unsent(&*self.store, network).await,
                }
            }
        }
    }

    /// Says something that no command asked for, once per room and key, for ever.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn say_once(&self, network: &str, room: &str, key: &str, text: Text) -> Result<(), StoreError> {
        let row = OutboxRow {
            key: format!("{network}/{room}/{key}"),
            network: network.into(),
            room: room.into(),
            thread: None,
            purpose: Purpose::Message,
            text,
        };
        self.store.commit(vec![Write::Say(row)]).await?;
        self.outbox.wake();
        Ok(())
    }

    /// Whether this person may invite the bot.
    pub fn is_admin(&self, person: &str) -> bool {
        self.admins.iter().any(|admin| admin == person)
    }

    /// Waits until no message is being handled, no job is at work and everything said was sent.
    pub async fn settled(&self) {
        self.activity.rest().await;
    }
}
