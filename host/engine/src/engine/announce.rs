//! Starts the commands of schedules and hooks. A triggered command enters the inbox like a message. The room first gets
//! an announcement with the trigger and the command, for example `ci (schedule nightly): where cms`.
//!
//! Invariant: one transaction stores the inbox row, the announcement and the deduplication key, so that a command does
//! not start twice after a crash or a redelivery.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::host::Host;
use crate::{
    base::{Text, clean},
    messaging::{AccountInbox, Arrival, Deduplication},
    model::{Person, RoomName},
    store::{InboxKey, InboxRow, OutboxRow, StoreError, TriggerSource, Write, is_trigger_event},
};

/// The maximum time that a triggered command waits for its announcement to be sent. After this time, the replies to the
/// command go to the room, not to the announcement's thread.
const ANNOUNCEMENT_TIMEOUT: Duration = Duration::from_secs(10);
/// The interval between two checks whether the announcement is sent.
const ANNOUNCEMENT_POLL: Duration = Duration::from_millis(50);
/// The timeout of the request to a chat network that resolves a room name to the room's id.
const ROOM_TIMEOUT: Duration = Duration::from_secs(5);

/// The room in which a triggered command is announced and answered.
pub(crate) struct TriggerRoom {
    pub(crate) inbox: Arc<AccountInbox>,
    room: String,
}

impl TriggerRoom {
    fn message(&self, key: String, text: Text) -> OutboxRow {
        self.inbox.destination(&self.room).say(key, text)
    }
}

pub(crate) struct TriggeredCommand {
    /// The event id of the inbox row, for example `schedule/nightly/1764057600`. The host creates this id, so the chat
    /// network has no event with the id.
    pub(crate) event: String,
    /// The idempotency key for the inbox. `None` if the room and the event id are sufficient to detect a duplicate.
    pub(crate) deduplication: Option<Deduplication>,
    /// The machine account whose rights apply to the command.
    pub(crate) machine: Person,
    /// The schedule or hook that starts the command, and the words of the command.
    pub(crate) started: TriggerSource,
    /// The time at which the command was triggered. A command that is older than the bot's `max_age` does not start.
    pub(crate) at: Timestamp,
    /// An extra line of the announcement, for example about missed scheduled runs.
    pub(crate) note: Option<String>,
}

impl Host {
    /// Resolves the room `room` of a schedule or hook. `bot` is the name of the bot that the schedule or hook
    /// configures. If `bot` is `None`, uses the bot whose account table lists `room`, or else the first bot on the
    /// network of the room. Returns `None` if the bot is not in the room, or if the chat network does not respond
    /// within [`ROOM_TIMEOUT`].
    pub(crate) async fn trigger_room(&self, bot: Option<&str>, room: &RoomName) -> Option<TriggerRoom> {
        let destination = self.context.outbox.destination(bot.unwrap_or_default(), room)?;
        // The key `bot` takes precedence over the bot whose account table names the room.
        let name = bot.unwrap_or(&destination.bot);
        let inbox = self.inbox_of(name, &destination.network)?;
        let chat = self.context.outbox.chat(name, &destination.network)?;
        let room = tokio::time::timeout(ROOM_TIMEOUT, chat.room(&destination.room)).await.ok()?.ok()?;
        Some(TriggerRoom { inbox, room: room? })
    }

    pub(crate) fn inbox_of(&self, bot: &str, network: &str) -> Option<Arc<AccountInbox>> {
        self.inboxes.iter().find(|inbox| inbox.bot == bot && inbox.network == network).cloned()
    }

    /// Stores a triggered command in the inbox. The same transaction also stores the changes in `more`. Returns `false`
    /// if the inbox already contains the command.
    pub(crate) async fn start_triggered(
        &self,
        trigger_room: &TriggerRoom,
        command: TriggeredCommand,
        more: Vec<Write>,
    ) -> Result<bool, StoreError> {
        let TriggeredCommand { event, deduplication, machine, started, at, note } = command;
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
            trigger_room.inbox.take(vec![Arrival { row, late: false, deduplication, announcements }], more).await?;
        self.context.outbox.wake();
        Ok(new > 0)
    }

    /// Adds a message for the room of a trigger to the outbox. The same transaction also stores the changes in `more`.
    /// `key` is an idempotency key: the outbox sends only one message per key.
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

    /// Waits until the announcement of a triggered command is sent, at most [`ANNOUNCEMENT_TIMEOUT`]. Returns `row`
    /// with the announcement as its thread, so that the replies appear below the announcement. Returns `row` unchanged
    /// after the timeout, after a store error, and on a network without threads. Does not wait for a message that a
    /// person sent, and returns it unchanged.
    pub(crate) async fn with_thread(&self, row: InboxRow) -> InboxRow {
        if !is_trigger_event(&row.key.event) || row.thread.is_some() {
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

/// Returns the outbox key of the announcement of a triggered command.
fn announcement(key: &InboxKey) -> String {
    format!("{}/{}/announced", key.room, key.event)
}
