//! Creates the database rows that the handling of a message writes: audit records, reactions and answers.

use super::host::Host;
use crate::{
    base::Text,
    store::{AuditRecord, CallCount, InboxRow, OutboxKind, OutboxRow},
};

/// The maximum length of a command in an audit record, in bytes. A longer command is truncated.
const MAX_COMMAND: usize = 500;

impl Host {
    /// Returns the audit record of a refused command. `why` is the reason of the refusal.
    pub(crate) fn refusal_line(&self, row: &InboxRow, why: String) -> AuditRecord {
        AuditRecord { refused: true, ..self.line(row, None, Vec::new(), vec![why]) }
    }

    /// Returns the audit record of a message that was not refused. `plugin` is the plugin that ran, `calls` are the
    /// counts of its host calls, and `denials` the reasons of refused calls.
    pub(crate) fn line(
        &self,
        row: &InboxRow,
        plugin: Option<String>,
        calls: Vec<CallCount>,
        denials: Vec<String>,
    ) -> AuditRecord {
        let mut command = crate::base::clean(&row.text);
        command.truncate(command.floor_char_boundary(MAX_COMMAND));
        AuditRecord {
            inbox: row.key.clone(),
            caller: row.sender.clone(),
            plugin,
            command,
            at: self.context.clock.now(),
            calls,
            denials,
            refused: false,
        }
    }

    /// Returns the outbox row of the bot's reaction to a message.
    pub(crate) fn react(&self, row: &InboxRow, emoji: &str) -> OutboxRow {
        OutboxRow {
            key: format!("{}/{}/{emoji}", row.key.room, row.key.event),
            bot: row.bot.clone(),
            network: row.key.network.clone(),
            room: row.key.room.clone(),
            thread: None,
            purpose: OutboxKind::Reaction { event: row.key.event.clone(), emoji: emoji.to_owned() },
            text: Text::default(),
        }
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
