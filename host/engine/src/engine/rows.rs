//! The rows that a message leaves: its line in the journal, an emoji on it, an answer to it.

use super::builder::Host;
use crate::{base::Text, store::{CallCount, InboxRow, Line, OutboxRow, Purpose}};

/// A typed line is kept up to here in journal and log, in bytes.
const LONGEST_COMMAND: usize = 500;

impl Host {
    /// The line that a refused command leaves.
    pub(crate) fn refusal_line(&self, row: &InboxRow, why: String) -> Line {
        Line { refused: true, ..self.line(row, None, Vec::new(), vec![why]) }
    }

    /// The line that a query leaves.
    pub(crate) fn line(
        &self,
        row: &InboxRow,
        plugin: Option<String>,
        calls: Vec<CallCount>,
        denials: Vec<String>,
    ) -> Line {
        let mut command = crate::base::clean(&row.text);
        command.truncate(command.floor_char_boundary(LONGEST_COMMAND));
        Line {
            inbox: row.key.clone(),
            caller: row.sender.clone(),
            plugin,
            command,
            at: self.shared.clock.now(),
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
            purpose: Purpose::Reaction { event: row.key.event.clone(), emoji: emoji.to_owned() },
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
            thread: self.shared.outbox.thread(row),
            purpose: Purpose::Message,
            text,
        }
    }
}
