//! The order in which the rows of the outbox are sent.

use std::collections::HashMap;

use crate::store::{OutboxKind, PendingRow};

/// Sorts rows for sending. Keeps the given order, with one exception: if a job has ended and its status card was never
/// sent, moves the card directly before the job's closing message. The card shows the job's end, so the job's other
/// messages must come first.
pub(super) fn in_order(rows: Vec<PendingRow>) -> Vec<PendingRow> {
    let job = |row: &PendingRow, purpose: &str| row.row.key.strip_suffix(purpose).map(str::to_owned);
    let closings: HashMap<String, usize> =
        rows.iter().enumerate().filter_map(|(index, row)| Some((job(row, "/closing")?, index))).collect();
    let with_position = |(index, row): (usize, PendingRow)| {
        let unsent = row.row.purpose == OutboxKind::Card { rest: true } && row.event.is_none();
        let closing = job(&row, "/card").filter(|_| unsent).and_then(|job| closings.get(&job));
        (closing.map_or(2 * index + 1, |closing| 2 * closing), row)
    };
    let mut ordered: Vec<(usize, PendingRow)> = rows.into_iter().enumerate().map(with_position).collect();
    ordered.sort_by_key(|(position, _)| *position);
    ordered.into_iter().map(|(_, row)| row).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{base::Text, store::OutboxRow};

    #[test]
    fn an_unsent_card_is_ordered_before_its_closing_message() {
        let row = |key: &str, purpose: OutboxKind, event: Option<&str>| PendingRow {
            row: OutboxRow {
                key: key.into(),
                bot: "marvin".into(),
                network: "console".into(),
                room: "console".into(),
                thread: None,
                purpose,
                text: Text::default(),
            },
            event: event.map(str::to_owned),
            version: 1,
        };
        let rest = OutboxKind::Card { rest: true };
        let rows = vec![
            row("a/card", rest.clone(), None),
            row("b/card", rest.clone(), Some("seen")),
            row("c/card", OutboxKind::Card { rest: false }, None),
            row("a/output", OutboxKind::Message, None),
            row("d/card", rest, None),
            row("a/closing", OutboxKind::Message, None),
            row("b/closing", OutboxKind::Message, None),
        ];
        let keys: Vec<String> = in_order(rows).into_iter().map(|row| row.row.key).collect();
        assert_eq!(keys, ["b/card", "c/card", "a/output", "d/card", "a/card", "a/closing", "b/closing"]);
    }
}
