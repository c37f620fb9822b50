//! The changes to the store that close a job.

use serde_json::json;

use super::{
    card::{closing_card, last_card},
    entry::{append, cancellation, entry},
    shown_in::ShownIn,
    thread_message::thread_message,
};
use crate::{
    base::{Text, clean},
    model::Person,
    store::{Entry, EntryKind, JobEnd, JobOutcome, JobRow, OutboxKind, OutboxRow, Write},
};

/// Returns the closing journal entry of a job, and the other changes of the same transaction. These changes store the
/// outcome and the last status card, and send the closing message to the job's thread and to each room of `shown`. `took`
/// is the last part of the status card's text, for example the job's duration; `None` if the closing message takes the
/// place of the card.
pub(crate) fn close(
    row: &JobRow,
    outcome: JobOutcome,
    text: Text,
    took: Option<&str>,
    shown: &[ShownIn],
    now: jiff::Timestamp,
) -> (Entry, Vec<Write>) {
    let end = JobEnd { outcome, at: now, summary: text.plain() };
    let body = json!({ "outcome": outcome.as_str(), "said": end.summary });
    let closed = entry(row, EntryKind::Closed, body, now);
    let mut writes = vec![Write::Close { job: row.id.clone(), end }];
    match took {
        Some(took) => writes.extend([
            Write::Send(last_card(row, outcome, took)),
            Write::Send(thread_message(row, "closing", text.clone())),
        ]),
        None => writes.push(Write::Send(closing_card(row, text.clone()))),
    }
    writes.extend(shown.iter().map(|room| room.closed(row, text.clone())));
    (closed, writes)
}

/// Returns the changes to the store that cancel and close a job before its first effect. `next` is the number of the
/// job's next journal entry, and `shown` is the second room that shows the job, if any.
pub(crate) fn cancel_before_start(
    row: &JobRow,
    next: u32,
    by: &Person,
    shown: Option<&ShownIn>,
    now: jiff::Timestamp,
) -> Vec<Write> {
    let mut text = Text::lines(format!("`{}` (job {}) was cancelled by {}.", row.line, row.id, clean(&by.name)));
    text.push_lines("Nothing was changed.");
    let shown: &[ShownIn] = shown.map_or(&[], std::slice::from_ref);
    let (closed, writes) = close(row, JobOutcome::Cancelled, text, Some("before it started"), shown, now);
    append([cancellation(row, by, now), closed], next).into_iter().chain(writes).collect()
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
