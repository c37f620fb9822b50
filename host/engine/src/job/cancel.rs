//! The store writes that cancel a job before the job's first effect.

use serde_json::json;

use super::{close::close, entry::entry, shown_in::ShownIn};
use crate::{
    base::Text,
    model::Person,
    store::{EntryKind, JobOutcome, JobRow, Write},
};

/// Returns the writes that cancel and close a job before its first effect. `next` is the number of the job's next
/// journal entry, and `shown` is the second room that shows the job, if any.
pub(crate) fn cancel_before_start(
    row: &JobRow,
    next: u32,
    by: &Person,
    shown: Option<&ShownIn>,
    now: jiff::Timestamp,
) -> Vec<Write> {
    let who = crate::base::clean(&by.name);
    let mut text = Text::lines(format!("`{}` (job {}) was cancelled by {who}.", row.line, row.id));
    text.push_lines("Nothing was changed.");
    let about = json!({ "event": crate::job::CANCEL, "by": by.id, "about": "" });
    let mut event = entry(row, EntryKind::Event, about, now);
    event.number = next;
    let card = crate::job::last_card(row, JobOutcome::Cancelled, "before it started");
    let (mut closed, writes) =
        close(row, JobOutcome::Cancelled, text, card, shown.map_or(&[], std::slice::from_ref), now);
    closed.number = next + 1;
    [Write::Append(event), Write::Append(closed)].into_iter().chain(writes).collect()
}
