//! Triggered commands of schedules and hooks. They enter the inbox like messages, and the room first gets a message
//! that names the command and its trigger.
//!
//! Invariant: one transaction stores the inbox row, its announcement and its deduplication key, and the inbox takes an
//! event only once. So neither a crash nor a redelivery starts a command twice.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::host::Host;
use crate::{
    base::{Text, clean},
    messaging::{AccountInbox, Arrival, Destination},
    model::{Person, RoomName},
    store::{InboxKey, InboxRow, OutboxRow, StoreError, TriggerSource, Write, is_announced},
};

/// The timeout for the announcement to be sent. After it, the answers go to the room without a thread.
const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval at which the store is polled for the announcement's event id.
const ANNOUNCEMENT_POLL: Duration = Duration::from_millis(50);
/// The timeout for resolving a room name with the network.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// The room in which a triggered command is announced and answered, with the inbox of its account.
#[derive(Clone)]
pub(crate) struct TriggerRoom {
    inbox: Arc<AccountInbox>,
    room: String,
}

impl TriggerRoom {
    /// The name of the bot that runs the command.
    pub(crate) fn bot(&self) -> &str {
        &self.inbox.bot
    }

    fn message(&self, key: String, text: Text) -> OutboxRow {
        let (bot, network) = (self.inbox.bot.clone(), self.inbox.network.to_owned());
        Destination { bot, network, room: self.room.clone() }.say(key, text)
    }
}

/// A command that a schedule or a hook starts.
pub(crate) struct TriggeredCommand {
    /// The event id of its inbox row. It is not an id of the network.
    pub(crate) event: String,
    /// The key by which redeliveries are deduplicated if the room of the trigger can change between them; `None` if the
    /// event id is enough.
    pub(crate) deduplication_key: Option<String>,
    /// The machine account with whose rights the command runs.
    pub(crate) machine: Person,
    /// The trigger, with the words of the command.
    pub(crate) started: TriggerSource,
    /// The time of the inbox row. A command's age is counted from it.
    pub(crate) at: Timestamp,
    /// An extra line for the announcement.
    pub(crate) note: Option<String>,
}

impl Host {
    /// Resolves the room of a schedule or hook. Returns `None` if the bot is not in the room, or if the network does
    /// not answer within [`ROOM_TIMEOUT`].
    pub(crate) async fn trigger_room(&self, bot: Option<&str>, room: &RoomName) -> Option<TriggerRoom> {
        let destination = self.context.outbox.destination(bot.unwrap_or_default(), room)?;
        // A configured `bot` takes precedence over the bot whose table names the room.
        let name = bot.unwrap_or(&destination.bot);
        let inbox = self.inbox_of(name, &destination.network)?;
        let chat = self.context.outbox.chat(name, &destination.network)?;
        match tokio::time::timeout(ROOM_TIMEOUT, chat.room(&destination.room)).await {
            Ok(Ok(room)) => Some(TriggerRoom { inbox, room: room? }),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn inbox_of(&self, bot: &str, network: &str) -> Option<Arc<AccountInbox>> {
        self.inboxes.iter().find(|inbox| inbox.bot == bot && inbox.network == network).cloned()
    }

    /// Stores a triggered command in the inbox. `more` is written in the same transaction. Returns `false` if the
    /// command was a duplicate.
    pub(crate) async fn start_triggered(
        &self,
        trigger_room: &TriggerRoom,
        command: TriggeredCommand,
        more: Vec<Write>,
    ) -> Result<bool, StoreError> {
        let TriggeredCommand { event, deduplication_key, machine, started, at, note } = command;
        let text = started.line();
        let mut announcement_text = Text::lines(format!("{} ({}): {}", clean(&machine.name), started.by, text));
        if let Some(note) = note {
            announcement_text.push_lines(note);
        }
        let key = InboxKey { network: trigger_room.inbox.network.to_owned(), room: trigger_room.room.clone(), event };
        let announcements = vec![trigger_room.message(announcement(&key), announcement_text)];
        let row = InboxRow {
            key,
            bot: trigger_room.inbox.bot.clone(),
            thread: None,
            sender: machine,
            text,
            at,
            direct: false,
            reaction: None,
            unproven: None,
            started: Some(started),
        };
        let new =
            trigger_room.inbox.take(vec![Arrival { row, late: false, deduplication_key, announcements }], more).await?;
        self.context.outbox.wake();
        Ok(new > 0)
    }

    /// Queues a message to a trigger's room, once per `key`. `more` is written in the same transaction.
    pub(crate) async fn send_once(
        &self,
        trigger_room: &TriggerRoom,
        key: String,
        text: Text,
        mut more: Vec<Write>,
    ) -> Result<(), StoreError> {
        more.push(Write::Send(trigger_room.message(key, text)));
        self.context.store.commit(more).await?;
        self.context.outbox.wake();
        Ok(())
    }

    /// Sets the thread of a triggered command to its announcement, so that the answers appear below it. Waits up to
    /// [`ANNOUNCEMENT_TIMEOUT`] until the announcement is sent. On a network without threads, the row is unchanged but
    /// the wait still keeps the answers behind the announcement.
    pub(crate) async fn with_thread(&self, row: InboxRow) -> InboxRow {
        if !is_announced(&row.key.event) || row.thread.is_some() {
            return row;
        }
        let chat = self.context.outbox.chat(&row.bot, &row.key.network);
        let threads = chat.is_some_and(|chat| chat.features().threads);
        let key = announcement(&row.key);
        let until = tokio::time::Instant::now() + ANNOUNCEMENT_TIMEOUT;
        while tokio::time::Instant::now() < until {
            match self.context.store.event_of_key(&key).await {
                Ok(Some(event)) => return InboxRow { thread: threads.then_some(event), ..row },
                Ok(None) => tokio::time::sleep(ANNOUNCEMENT_POLL).await,
                Err(_) => break,
            }
        }
        row
    }
}

/// The outbox key of a command's announcement.
fn announcement(key: &InboxKey) -> String {
    format!("{}/{}/announced", key.room, key.event)
}
