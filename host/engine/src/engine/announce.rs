//! Commands that nobody typed: they come into the inbox like messages, and their room sees first what is asked and by whom.
//!
//! Invariant: the row, the words that announce it and what remembers that it came are one transaction, and a row's event comes
//! once, so neither a crash nor a second delivery sets anything off twice.

use std::{sync::Arc, time::Duration};

use jiff::Timestamp;

use super::host::Host;
use crate::{
    base::{Text, clean},
    messaging::{AccountInbox, Arrival, Destination},
    model::{Person, RoomName},
    store::{InboxKey, InboxRow, OutboxRow, StoreError, TriggerSource, Write, is_announced},
};

/// So long is the message waited for that a command's answers hang on: without it they stand in the room by themselves.
const PATIENCE: Duration = Duration::from_secs(10);
/// How often it is looked for.
const LOOK: Duration = Duration::from_millis(50);
/// So long is a network asked which room a name is.
const ASKED: Duration = Duration::from_secs(5);

/// Where commands that nobody typed are seen.
#[derive(Clone)]
pub(crate) struct TriggerRoom {
    inbox: Arc<AccountInbox>,
    room: String,
}

impl TriggerRoom {
    /// The identity that acts there.
    pub(crate) fn bot(&self) -> &str {
        &self.inbox.bot
    }

    /// A message to its room.
    fn say(&self, key: String, text: Text) -> OutboxRow {
        let (bot, network) = (self.inbox.bot.clone(), self.inbox.network.to_owned());
        Destination { bot, network, room: self.room.clone() }.say(key, text)
    }
}

/// One command that nobody typed.
pub(crate) struct TriggeredCommand {
    /// The event's name.
    pub(crate) event: String,
    /// The name under which it comes once, where its room may be another one the next time.
    pub(crate) deduplication_key: Option<String>,
    /// In whose name.
    pub(crate) machine: Person,
    /// What.
    pub(crate) started: TriggerSource,
    /// When.
    pub(crate) at: Timestamp,
    /// What else the room is told with it.
    pub(crate) note: Option<String>,
}

impl Host {
    /// The room that a schedule or a hook names. `None` where the bot is not in it, or where that cannot be told now.
    pub(crate) async fn venue(&self, bot: Option<&str>, room: &RoomName) -> Option<TriggerRoom> {
        let destination = self.context.outbox.destination(bot.unwrap_or_default(), room)?;
        // An identity that was named is the one that acts, also where another one's table has the room.
        let name = bot.unwrap_or(&destination.bot);
        let inbox = self.inbox_of(name, &destination.network)?;
        let chat = self.context.outbox.chat(name, &destination.network)?;
        match tokio::time::timeout(ASKED, chat.room(&destination.room)).await {
            Ok(Ok(room)) => Some(TriggerRoom { inbox, room: room? }),
            Ok(Err(_)) | Err(_) => None,
        }
    }

    fn inbox_of(&self, bot: &str, network: &str) -> Option<Arc<AccountInbox>> {
        self.inboxes.iter().find(|inbox| inbox.bot == bot && inbox.network == network).cloned()
    }

    /// Brings a command to the inbox, with changes of the same transaction; gives whether it was new.
    pub(crate) async fn cue(
        &self,
        venue: &TriggerRoom,
        cue: TriggeredCommand,
        more: Vec<Write>,
    ) -> Result<bool, StoreError> {
        let TriggeredCommand { event, deduplication_key, machine, started, at, note } = cue;
        let text = started.line();
        let mut words = Text::lines(format!("{} ({}): {}", clean(&machine.name), started.by, text));
        if let Some(note) = note {
            words.push_lines(note);
        }
        let key = InboxKey { network: venue.inbox.network.to_owned(), room: venue.room.clone(), event };
        let words = vec![venue.say(announcement(&key), words)];
        let row = InboxRow {
            key,
            bot: venue.inbox.bot.clone(),
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
            venue.inbox.take(vec![Arrival { row, late: false, deduplication_key, announcements: words }], more).await?;
        self.context.outbox.wake();
        Ok(new > 0)
    }

    /// Says something in the room of a venue, once.
    pub(crate) async fn tell(
        &self,
        venue: &TriggerRoom,
        key: String,
        text: Text,
        mut more: Vec<Write>,
    ) -> Result<(), StoreError> {
        more.push(Write::Send(venue.say(key, text)));
        self.context.store.commit(more).await?;
        self.context.outbox.wake();
        Ok(())
    }

    /// A row with the thread that its answers hang on: of a command that nobody typed the message that announced it, once
    /// that is sent. Where there are no threads its answers come behind it.
    pub(crate) async fn rooted(&self, row: InboxRow) -> InboxRow {
        if !is_announced(&row.key.event) || row.thread.is_some() {
            return row;
        }
        let chat = self.context.outbox.chat(&row.bot, &row.key.network);
        let threads = chat.is_some_and(|chat| chat.features().threads);
        let key = announcement(&row.key);
        let until = tokio::time::Instant::now() + PATIENCE;
        while tokio::time::Instant::now() < until {
            match self.context.store.event_of_key(&key).await {
                Ok(Some(event)) => return InboxRow { thread: threads.then_some(event), ..row },
                Ok(None) => tokio::time::sleep(LOOK).await,
                Err(_) => break,
            }
        }
        row
    }
}

/// The key of the message that announces a command.
fn announcement(key: &InboxKey) -> String {
    format!("{}/{}/announced", key.room, key.event)
}
