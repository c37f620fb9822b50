//! The store writes that close a job.

use serde_json::json;

use super::{card::emoji, entry::entry, shown_in::ShownIn, thread_message::thread_message};
use crate::{
    base::Text,
    store::{EntryKind, JobEnd, JobOutcome, JobRow, OutboxKind, OutboxRow, Write},
};

/// Returns the closing journal entry of a job, and the other writes of the same transaction. These writes store the
/// outcome and the last status card, and send the closing message to the job's thread and to each room of `shown`. They
/// also add a reaction to the message that started the job. If another job scheduled this job, no message started the
/// job, and there is no reaction.
pub(crate) fn close(
    row: &JobRow,
    outcome: JobOutcome,
    text: Text,
    card: OutboxRow,
    shown: &[ShownIn],
    now: jiff::Timestamp,
) -> (crate::store::Entry, Vec<Write>) {
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = json!({ "outcome": outcome.as_str(), "said": end.summary });
    let closed = entry(row, EntryKind::Closed, body, now);
    let closing_messages: Vec<Write> = shown.iter().map(|room| room.closed(row, text.clone())).collect();
    let mut writes = vec![
        Write::Close { job: row.id.clone(), end },
        Write::Send(card),
        Write::Send(thread_message(row, "closing", text)),
    ];
    writes.extend(closing_messages);
    // A job that another job scheduled has no message that could have a reaction.
    if row.parent.is_none() {
        writes.push(Write::Send(reaction(row, emoji(outcome))));
    }
    (closed, writes)
}

/// Returns the outbox row of a reaction to the message that started the job.
pub(crate) fn reaction(row: &JobRow, emoji: &str) -> OutboxRow {
    let key = &row.inbox;
    OutboxRow {
        key: format!("{}/{}/{emoji}", key.room, key.event),
        thread: None,
        purpose: OutboxKind::Reaction { event: key.event.clone(), emoji: emoji.to_owned() },
        ..thread_message(row, "reaction", Text::default())
    }
}
