//! The rows that a message leaves: its line in the journal, an emoji on it, an answer to it.

use super::host::Host;
use crate::{
    base::Text,
    store::{AuditRecord, CallCount, InboxRow, OutboxKind, OutboxRow},
};

/// A typed line is kept up to here in journal and log, in bytes.
const LONGEST_COMMAND: usize = 500;

impl Host {
    /// The line that a refused command leaves.
    pub(crate) fn refusal_line(&self, row: &InboxRow, why: String) -> AuditRecord {
        AuditRecord { refused: true, ..self.line(row, None, Vec::new(), vec![why]) }
    }

    /// The line that a query leaves.
    pub(crate) fn line(
        &self,
        row: &InboxRow,
        plugin: Option<String>,
        calls: Vec<CallCount>,
        denials: Vec<String>,
    ) -> AuditRecord {
        let mut command = crate::base::clean(&row.text);
        command.truncate(command.floor_char_boundary(LONGEST_COMMAND));
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

    /// An emoji on a message.
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

    /// An answer to a message that is kept until it is sent.
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
