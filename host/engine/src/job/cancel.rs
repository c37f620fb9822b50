//! What is written when a job is cancelled.

use serde_json::json;

use super::{close::close, entry::entry, shown_in::ShownIn};
use crate::{
    base::Text,
    model::Person,
    store::{EntryKind, JobOutcome, JobRow, Write},
};

/// Closes a job of which nothing was done yet. `next` is the number of its next entry.
pub(crate) fn call_off(
    row: &JobRow,
    next: u32,
    by: &Person,
    shown: Option<&ShownIn>,
    now: jiff::Timestamp,
) -> Vec<Write> {
    let who = crate::base::clean(&by.name);
    let mut text = Text::lines(format!("`{}` (job {}) was called off by {who}.", row.line, row.id));
    text.push_lines("Nothing of it was done.");
    let about = json!({ "event": crate::job::CANCEL, "by": by.id, "about": "" });
    let mut event = entry(row, EntryKind::Event, about, now);
    event.number = next;
    let card = crate::job::last(row, JobOutcome::Cancelled, "before it began");
    let (mut closed, writes) =
        close(row, JobOutcome::Cancelled, text, card, shown.map_or(&[], std::slice::from_ref), now);
    closed.number = next + 1;
    [Write::Enter(event), Write::Enter(closed)].into_iter().chain(writes).collect()
}
