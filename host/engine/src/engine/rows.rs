//! Creates the database rows that the handling of a message writes: audit records, reactions and answers.

use super::host::Host;
use crate::{
    base::Text,
    store::{AuditRecord, InboxRow, OutboxKind, OutboxRow},
};

/// The maximum length of a command in an audit record, in bytes. A longer command is truncated.
const MAX_COMMAND: usize = 500;

impl Host {
    /// Returns the audit record of a refused command. `why` is the reason of the refusal.
    pub(crate) fn refusal_line(&self, row: &InboxRow, why: String) -> AuditRecord {
        AuditRecord { refused: true, denials: vec![why], ..self.line(row) }
    }

    /// Returns the audit record of a message that was not refused and that ran no plugin.
    pub(crate) fn line(&self, row: &InboxRow) -> AuditRecord {
        let mut command = crate::base::clean(&row.text);
        command.truncate(command.floor_char_boundary(MAX_COMMAND));
        AuditRecord {
            inbox: row.key.clone(),
            caller: row.sender.clone(),
            plugin: None,
            command,
            at: self.context.clock.now(),
            calls: Vec::new(),
            denials: Vec::new(),
            refused: false,
        }
    }

    /// Returns the outbox row of the bot's reaction to a message.
    pub(crate) fn react(&self, row: &InboxRow, emoji: &str) -> OutboxRow {
        let purpose = OutboxKind::Reaction { event: row.key.event.clone(), emoji: emoji.to_owned() };
        OutboxRow { thread: None, purpose, ..self.say(row, emoji, Text::default()) }
    }

    /// Returns the outbox row of a reply to a message. `purpose` is a word such as `refusal`. A message gets at most
    /// one reply for each purpose, because the purpose is a part of the row's idempotency key.
    pub(crate) fn say(&self, row: &InboxRow, purpose: &str, text: Text) -> OutboxRow {
        OutboxRow {
            key: format!("{}/{}/{purpose}", row.key.room, row.key.event),
            bot: row.bot.clone(),
            network: row.key.network.clone(),
            room: row.key.room.clone(),
            thread: self.context.outbox.thread(row),
            purpose: OutboxKind::Message,
            text,
        }
    }
}
