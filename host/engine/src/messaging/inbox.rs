//! The inbox of incoming messages. The inbox stores each message for a bot once, as a row, before the message is
//! handled.

use std::{borrow::Cow, sync::Arc, time::Duration};

use async_trait::async_trait;
use jiff::Timestamp;
use tokio::sync::mpsc;

use super::{accounts::Destination, addressing::Addressing, outbox::Outbox, thread_command};
use crate::{
    adapter::{Inbox, Incoming, Position},
    base::{Activity, Text, redactor},
    job::approval_text,
    model::RoomName,
    policy::Access,
    store::{
        GivenArgument, InboxKey, InboxRow, JobPhase, OutboxRow, PendingRow, Reaction, RoomCursor, Store, StoreError,
        TriggerSource, Write, is_trigger_event,
    },
};

/// A received message, before the inbox stores it.
pub(crate) struct Arrival {
    pub(crate) row: InboxRow,
    /// Whether backfill received the message after a connection gap.
    pub(crate) late: bool,
    /// The key by which the inbox recognizes redeliveries of the message. `None` if redeliveries have the same event
    /// id, because the inbox then recognizes them by this id.
    pub(crate) deduplication: Option<Deduplication>,
    /// The outgoing messages that announce the command in a room, if a trigger started the command.
    pub(crate) announcements: Vec<OutboxRow>,
}

/// The key by which the inbox recognizes redeliveries of a message.
pub(crate) struct Deduplication {
    pub(crate) key: String,
    /// The time after which a message with the same key counts as new; `None` for never.
    pub(crate) window: Option<Duration>,
}

/// The `[[listen]]` triggers, which start commands for messages that do not address the bot.
pub(crate) trait Listener: Send + Sync {
    /// Returns the trigger that a message's text matches, with the command to start. `is_in` returns whether the
    /// message was sent in a given room.
    fn matched(&self, text: &str, is_in: &dyn Fn(&RoomName) -> bool) -> Option<TriggerSource>;
}

/// The inbox of one bot account. The account's chat adapter passes received messages to it.
pub(crate) struct AccountInbox {
    pub(crate) bot: String,
    pub(crate) network: &'static str,
    // Whether this is the first account of its network.
    pub(crate) first: bool,
    pub(crate) store: Arc<dyn Store>,
    pub(crate) outbox: Arc<Outbox>,
    pub(crate) addressing: Addressing,
    // The prefixes and names of the other bots on this network.
    pub(crate) others: Vec<Addressing>,
    pub(crate) admins: Vec<String>,
    pub(crate) access: Arc<Access>,
    pub(crate) listener: Arc<dyn Listener>,
    pub(crate) activity: Activity,
    pub(crate) rows: mpsc::UnboundedSender<(InboxRow, bool, crate::base::ActivityGuard)>,
}

#[async_trait]
impl Inbox for AccountInbox {
    async fn enter(&self, room: &str, now: Timestamp) -> Result<Position, StoreError> {
        if let Some(position) = self.cursor(room).await? {
            return Ok(position);
        }
        let position = Position { event: None, at: now };
        self.store.commit(vec![Write::SetCursor(self.cursor_at(room, position.clone()))]).await?;
        Ok(position)
    }

    async fn cursor(&self, room: &str) -> Result<Option<Position>, StoreError> {
        let own = self.store.cursor(&self.bot, self.network, room).await?;
        let cursor = match own {
            // Cursors of an earlier version are stored with an empty bot name.
            None if self.first => self.store.cursor("", self.network, room).await?,
            own => own,
        };
        Ok(cursor.map(|cursor| Position { event: cursor.event, at: cursor.at }))
    }

    async fn receive(
        &self,
        room: &str,
        messages: Vec<Incoming>,
        cursor: Option<Position>,
    ) -> Result<usize, StoreError> {
        let cursor = cursor.map(|position| self.cursor_at(room, position));
        let mut arrivals = Vec::new();
        for message in messages {
            // Step 1: drop messages of the configured bots and of machine accounts that are not configured, and
            // reactions that are not votes.
            if !self.is_relevant(room, &message, &arrivals).await? {
                continue;
            }
            // Step 2: keep messages that contain or trigger a command.
            let (text, started, thread) = match self.command_or_trigger(room, &message) {
                // A reply to a message about a job means this job.
                Some((text, None)) if message.reply_to.is_some() && thread_command::is_about_job(&text) => {
                    let related = self.related_command(room, &message, &text).await?;
                    let (text, thread) = related.unwrap_or_else(|| (text, message.thread.clone()));
                    (text, None, thread)
                }
                Some((text, started)) => (text, started, message.thread.clone()),
                None => match self.thread_command(room, &message).await? {
                    Some((text, thread)) => (text, None, thread),
                    None => continue,
                },
            };
            let row = InboxRow {
                key: InboxKey { network: self.network.into(), room: room.into(), event: message.event },
                bot: self.bot.clone(),
                thread,
                sender: message.sender,
                text,
                at: message.at,
                direct: message.direct,
                reaction: message.reaction,
                unproven: message.unproven,
                started,
            };
            let deduplication = message.deduplication_key.map(|key| Deduplication { key, window: None });
            arrivals.push(Arrival { row, late: message.late, deduplication, announcements: Vec::new() });
        }
        // Step 3: store the rows together with the room's cursor.
        self.take(arrivals, cursor.into_iter().map(Write::SetCursor).collect()).await
    }

    fn handles(&self, room: &str, message: &Incoming) -> bool {
        self.command_or_trigger(room, message).is_some() || thread_command::command(message).is_some()
    }

    async fn say_once(&self, room: &str, key: &str, text: Text, thread: Option<String>) -> Result<(), StoreError> {
        let key = format!("{}/{}/{room}/{key}", self.bot, self.network);
        let row = OutboxRow { thread, ..self.destination(room).say(key, text) };
        self.store.commit(vec![Write::Send(row)]).await?;
        self.outbox.wake();
        Ok(())
    }

    fn is_admin(&self, person: &str) -> bool {
        self.admins.iter().any(|admin| admin == person)
    }

    async fn until_idle(&self) {
        self.activity.until_idle().await;
    }
}

impl AccountInbox {
    /// Returns the destination for messages of this account to a room.
    pub(crate) fn destination(&self, room: &str) -> Destination {
        Destination { bot: self.bot.clone(), network: self.network.to_owned(), room: room.to_owned() }
    }

    fn cursor_at(&self, room: &str, position: Position) -> RoomCursor {
        let Position { event, at } = position;
        RoomCursor { bot: self.bot.clone(), network: self.network.into(), room: room.into(), event, at }
    }

    /// Returns the command text of a message that addresses the bot. If the message addresses no bot but matches a
    /// `[[listen]]` trigger, returns the trigger's command text and the trigger. For a reaction, returns an empty text.
    /// For any other message, returns `None`.
    fn command_or_trigger(&self, room: &str, message: &Incoming) -> Option<(String, Option<TriggerSource>)> {
        if message.reaction.is_some() {
            return Some((String::new(), None));
        }
        match self.addressing.command(message) {
            Some(text) => Some((text, None)),
            // A message that addresses another bot of this network is a command for that bot alone.
            None if self.others.iter().any(|other| other.command(message).is_some()) => None,
            None => self.trigger(room, message).map(|started| (started.line(), Some(started))),
        }
    }

    /// Returns the command of a message in the thread of a job, or of a reply to a message about a job, which needs no
    /// prefix, and the thread in which the command is answered.
    async fn thread_command(
        &self,
        room: &str,
        message: &Incoming,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        let Some(line) = thread_command::command(message) else { return Ok(None) };
        // A message that addresses another bot is a command for that bot alone.
        if self.others.iter().any(|other| other.command(message).is_some()) {
            return Ok(None);
        }
        self.related_command(room, message, line).await
    }

    /// Returns a command about a job as [`thread_command::resolve`] does, if the host can trust the relations of messages
    /// in the room.
    async fn related_command(
        &self,
        room: &str,
        message: &Incoming,
        line: &str,
    ) -> Result<Option<(String, Option<String>)>, StoreError> {
        if !self.outbox.trusts_relations(&self.bot, self.network, room) {
            return Ok(None);
        }
        thread_command::resolve(&*self.store, &self.bot, (self.network, room), message, line).await
    }

    /// Returns the `[[listen]]` trigger that a message matches. The inbox stores the trigger's command instead of the
    /// message.
    fn trigger(&self, room: &str, message: &Incoming) -> Option<TriggerSource> {
        self.listener.matched(&message.text, &|name| self.access.is_room(name, (self.network, room)))
    }

    /// Stores received messages and the changes in `more` in one transaction. Ignores messages that the store already
    /// contains. Then adds each new message to the queue of messages to handle. Returns the number of new messages.
    ///
    /// # Errors
    /// [`StoreError`] if the transaction failed. Nothing is then stored.
    pub(crate) async fn take(&self, arrivals: Vec<Arrival>, more: Vec<Write>) -> Result<usize, StoreError> {
        if arrivals.is_empty() && more.is_empty() {
            return Ok(0);
        }
        // The activity begins before the commit, so that the host does not appear idle before the rows are handled.
        let guard = self.activity.begin();
        let mut writes = Vec::with_capacity(arrivals.len() + more.len());
        let mut rows = Vec::with_capacity(arrivals.len());
        // A message with a deduplication key is stored only if the key is new.
        for Arrival { mut row, late, deduplication, mut announcements } in arrivals {
            redact(&mut row);
            let redactor = redactor();
            for announcement in &mut announcements {
                announcement.text.redact(&redactor);
            }
            rows.push((row.clone(), late));
            match deduplication {
                Some(Deduplication { key, window }) => {
                    // The time of a trigger is that of the host's clock, and the time of a message that of its network.
                    let received = if is_trigger_event(&row.key.event) { row.at } else { Timestamp::now() };
                    writes.push(Write::ReceiveOnce { key, received, window, row, announcements });
                }
                None => {
                    writes.push(Write::Receive(row));
                    writes.extend(announcements.into_iter().map(Write::Send));
                }
            }
        }
        writes.extend(more);
        let new = self.store.commit(writes).await?;
        // Queue the messages that were new.
        rows.retain(|(row, _)| new.contains(&row.key));
        let count = rows.len();
        for (row, late) in rows {
            // The time to the first answer is measured only for messages that a person typed.
            if row.reaction.is_none() && row.started.is_none() {
                self.outbox.waiting.arrived(&row.key);
            }
            // The receiver is closed only during shutdown. The row is stored and is handled at the next start.
            let _ = self.rows.send((row, late, guard.clone()));
        }
        Ok(count)
    }

    /// Returns whether the bot handles a message. The bot handles texts, the reactions 👍 and 👎 to an approval message,
    /// and the removal of a message or reaction that it has received. The bot does not handle messages from a configured
    /// bot, or from a machine account that is not configured. `earlier` are the messages before this one that are not
    /// stored yet.
    async fn is_relevant(&self, room: &str, message: &Incoming, earlier: &[Arrival]) -> Result<bool, StoreError> {
        if self.outbox.is_own(self.network, &message.sender.id) {
            return Ok(false);
        }
        if message.machine && !self.access.machines.has(&message.sender.id) {
            return Ok(false);
        }
        match &message.reaction {
            None => Ok(true),
            Some(Reaction::Withdrawn { given }) => {
                let key = InboxKey { network: self.network.into(), room: room.into(), event: given.clone() };
                let is_new = earlier.iter().any(|arrival| Reaction::removes(given, &arrival.row.key.event));
                if is_new || self.store.is_handled(&key).await?.is_some() {
                    return Ok(true);
                }
                if !given.ends_with(':') {
                    return Ok(false);
                }
                // Only a part of the id is known, so the reaction cannot be looked up.
                let open = self.store.open_jobs().await?;
                Ok(open.iter().any(|(phase, count)| *phase == JobPhase::Approval && *count > 0))
            }
            Some(Reaction::Given { on, emoji }) => {
                if crate::job::thumb(emoji).is_none() {
                    return Ok(false);
                }
                match self.store.key_of_event(self.network, on).await? {
                    Some(key) => Ok(approval_text::parse_key(&key).is_some()),
                    None => may_have_unsent_request(&*self.store, self.network).await,
                }
            }
        }
    }
}

/// Replaces each secret in the text of a message. A secret that somebody posted is in the room already, but it must not
/// get into the database and to a plugin.
fn redact(row: &mut InboxRow) {
    let redactor = redactor();
    let words = row.started.iter_mut().flat_map(|started| &mut started.words);
    let words = words.map(|(GivenArgument::Written(text) | GivenArgument::Given { text, .. })| text);
    let texts = std::iter::once(&mut row.text).chain(words);
    let mut found = false;
    for text in texts {
        if let Cow::Owned(redacted) = redactor.redact(text) {
            (*text, found) = (redacted, true);
        }
    }
    if found {
        let InboxKey { network, room, event } = &row.key;
        tracing::warn!(
            network,
            room,
            event,
            person = row.sender.id,
            "a message contains a secret of this host, which was redacted; hint: delete the message and replace the secret"
        );
    }
}

/// Returns whether the outbox has an approval message for `network` whose event id is not stored yet. The network may
/// have received this message already. A reaction to an unknown event can then be a vote about the approval.
pub(crate) async fn may_have_unsent_request(store: &dyn Store, network: &str) -> Result<bool, StoreError> {
    let asks = |pending: &PendingRow| {
        pending.event.is_none()
            && pending.row.network == network
            && approval_text::parse_key(&pending.row.key).is_some()
    };
    Ok(store.outbox().await?.iter().any(asks))
}
