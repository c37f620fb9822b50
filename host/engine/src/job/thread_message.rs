//! The outbox row of a job's message to its room.

use crate::{
    base::Text,
    store::{JobRow, OutboxKind, OutboxRow},
};

/// Creates a message in a job's thread. `purpose`, such as `closing`, makes the message's outbox key unique within the
/// job.
pub(crate) fn thread_message(row: &JobRow, purpose: &str, text: Text) -> OutboxRow {
    OutboxRow {
        key: format!("{}/{purpose}", row.id),
        bot: row.bot.clone(),
        network: row.inbox.network.clone(),
        room: row.inbox.room.clone(),
        thread: row.thread.clone(),
        purpose: OutboxKind::Message,
        text,
    }
}
