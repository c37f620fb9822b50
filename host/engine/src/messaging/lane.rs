//! The queue of the messages to one room, and the choice of the message that is sent next.
//!
//! Invariant: the messages for which people wait are sent in the order of the outbox. Of a status card, only the newest
//! text is queued. On a network without edits, all messages are sent in the order of the outbox.

use std::collections::VecDeque;

use parking_lot::Mutex;
use tokio::sync::Notify;

use super::pace::{OptionalMessage, Pace, Permit, Urgency};
use crate::{
    base::ActivityGuard,
    job::approval_text,
    store::{OutboxKind, PendingRow},
};

/// The interval between two checks whether the limit of the account has room for the card of a running job.
const ROOM_INTERVAL: std::time::Duration = std::time::Duration::from_secs(1);

/// A row of the outbox in a lane.
#[derive(Debug)]
pub(super) struct Queued {
    pub(super) row: PendingRow,
    /// Whether an earlier process may already have sent the message of the row.
    pub(super) left_over: bool,
    /// The number of attempts that failed with a temporary error.
    pub(super) failures: u32,
    /// Keeps the engine from ending until the message is sent.
    pub(super) _guard: ActivityGuard,
}

impl Queued {
    pub(super) fn urgency(&self) -> Urgency {
        match self.row.row.purpose {
            OutboxKind::Message | OutboxKind::Closing => Urgency::Needed,
            OutboxKind::Card { .. } if approval_text::parse_key(&self.row.row.key).is_some() => Urgency::Needed,
            OutboxKind::Card { rest: true } | OutboxKind::Reaction { .. } => Urgency::Status,
            OutboxKind::Card { rest: false } => Urgency::Progress,
        }
    }

    /// Takes over what is known of an older text of the same card. Returns the version of the older text.
    fn replace(&mut self, older: Self) -> u64 {
        self.left_over |= older.left_over;
        self.failures = self.failures.max(older.failures);
        if self.row.event.is_none() {
            self.row.event = older.row.event;
        }
        older.row.version
    }
}

/// A queue of outbox rows for one room.
#[derive(Debug)]
pub(super) struct Lane {
    queue: Mutex<VecDeque<Queued>>,
    more: Notify,
    /// Whether all rows are sent in the order of the outbox.
    in_order: bool,
}

impl Lane {
    /// Creates an empty lane. `in_order` is true for a network without edits: a status card is then sent once, before
    /// the closing message of its job.
    pub(super) fn new(in_order: bool) -> Self {
        Self { queue: Mutex::default(), more: Notify::new(), in_order }
    }

    /// Adds rows in one step. A newer text of a queued card replaces the older text. Returns the keys and versions of
    /// the replaced texts.
    pub(super) fn extend(&self, rows: Vec<Queued>) -> Vec<(String, u64)> {
        let mut queue = self.queue.lock();
        let mut replaced = Vec::new();
        for mut new in rows {
            match queue.iter_mut().find(|queued| queued.row.row.key == new.row.row.key) {
                None => queue.push_back(new),
                Some(queued) => {
                    let key = new.row.row.key.clone();
                    std::mem::swap(queued, &mut new);
                    replaced.push((key, queued.replace(new)));
                }
            }
        }
        drop(queue);
        self.more.notify_one();
        replaced
    }

    /// Puts back a row that could not be sent. If a newer text of the same card was queued meanwhile, keeps the newer
    /// text, and returns the version of the older text.
    pub(super) fn put_back(&self, row: Queued) -> Option<u64> {
        let mut queue = self.queue.lock();
        match queue.iter_mut().find(|queued| queued.row.row.key == row.row.row.key) {
            Some(newer) => Some(newer.replace(row)),
            None => {
                queue.push_front(row);
                None
            }
        }
    }

    /// Removes and returns all rows.
    pub(super) fn drain(&self) -> VecDeque<Queued> {
        std::mem::take(&mut *self.queue.lock())
    }

    /// Waits for the next row and for the right to send it. A more urgent row that arrives meanwhile comes first.
    pub(super) async fn next<'p>(&self, pace: &'p Pace) -> (Queued, Permit<'p>) {
        loop {
            let Some(urgency) = self.most_urgent(pace.has_room(OptionalMessage::Progress)) else {
                let is_empty = self.queue.lock().is_empty();
                tokio::select! {
                    () = self.more.notified() => {}
                    () = tokio::time::sleep(ROOM_INTERVAL), if !is_empty => {}
                }
                continue;
            };
            let mut permit = std::pin::pin!(pace.permit(urgency));
            loop {
                tokio::select! {
                    biased;
                    permit = &mut permit => match self.take() {
                        Some(row) => return (row, permit),
                        None => break,
                    },
                    () = self.more.notified() => if self.most_urgent(false).is_some_and(|new| new < urgency) {
                        break;
                    },
                }
            }
        }
    }

    /// Waits until the lane has a row that is more urgent than `urgency`.
    pub(super) async fn more_urgent_than(&self, urgency: Urgency) {
        while self.most_urgent(false).is_none_or(|most| most >= urgency) {
            self.more.notified().await;
        }
    }

    /// Returns the urgency of the row that is sent next. Ignores cards of running jobs if `has_room` is false.
    fn most_urgent(&self, has_room: bool) -> Option<Urgency> {
        let queue = self.queue.lock();
        if self.in_order {
            return queue.front().map(|_| Urgency::Needed);
        }
        queue.iter().map(Queued::urgency).min().filter(|urgency| has_room || *urgency != Urgency::Progress)
    }

    /// Removes and returns the first of the most urgent rows.
    fn take(&self) -> Option<Queued> {
        let mut queue = self.queue.lock();
        if self.in_order {
            return queue.pop_front();
        }
        let (index, _) = queue.iter().enumerate().min_by_key(|(_, queued)| queued.urgency())?;
        queue.remove(index)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        base::{Activity, Text},
        store::OutboxRow,
    };

    fn queued(key: &str, purpose: OutboxKind, version: u64) -> Queued {
        let row = OutboxRow {
            key: key.into(),
            bot: "marvin".into(),
            network: "memory".into(),
            room: "!ops".into(),
            thread: None,
            purpose,
            text: Text::lines(format!("{key} {version}")),
        };
        let row = PendingRow { row, event: None, version };
        Queued { row, left_over: false, failures: 0, _guard: Activity::default().begin() }
    }

    const PROGRESS: OutboxKind = OutboxKind::Card { rest: false };
    const REST: OutboxKind = OutboxKind::Card { rest: true };

    fn keys(lane: &Lane) -> Vec<String> {
        std::iter::from_fn(|| lane.take()).map(|queued| queued.row.row.text.plain()).collect()
    }

    fn filled(in_order: bool) -> Lane {
        let lane = Lane::new(in_order);
        lane.extend(vec![
            queued("a/card", PROGRESS, 1),
            queued("b/card", REST, 1),
            queued("c/approval-1", REST, 1),
            queued("a/closing", OutboxKind::Message, 1),
        ]);
        lane
    }

    #[test]
    fn messages_for_which_people_wait_come_before_cards() {
        let urgent = ["c/approval-1 1", "a/closing 1", "b/card 1", "a/card 1"];
        assert_eq!(keys(&filled(false)), urgent);
        assert_eq!(keys(&filled(true)), ["a/card 1", "b/card 1", "c/approval-1 1", "a/closing 1"]);
    }

    #[test]
    fn a_newer_text_of_a_card_replaces_a_queued_one() {
        let lane = filled(false);
        assert_eq!(lane.extend(vec![queued("a/card", REST, 3)]), [("a/card".to_owned(), 1)]);
        let older = Queued { left_over: true, failures: 2, ..queued("a/card", PROGRESS, 2) };
        assert_eq!(lane.put_back(older), Some(2));
        let newest = lane.queue.lock()[0].failures;
        assert_eq!(newest, 2, "the errors of the older text count");
        assert_eq!(keys(&lane)[2..], ["a/card 3", "b/card 1"].map(str::to_owned));
    }

    #[tokio::test]
    async fn a_message_for_which_people_wait_ends_the_wait_of_a_card() {
        let lane = Lane::new(false);
        lane.extend(vec![queued("a/card", PROGRESS, 1)]);
        let mut wait = std::pin::pin!(lane.more_urgent_than(Urgency::Progress));
        assert!(futures_util::poll!(&mut wait).is_pending());
        lane.extend(vec![queued("b/closing", OutboxKind::Message, 1)]);
        wait.await;
        assert_eq!(keys(&lane)[0], "b/closing 1");
    }

    #[tokio::test]
    async fn a_card_of_a_running_job_waits_while_the_limit_has_no_room() {
        let pace = Pace::new(None);
        let lane = Lane::new(false);
        lane.extend(vec![queued("a/card", PROGRESS, 1)]);
        assert_eq!(lane.next(&pace).await.0.row.row.key, "a/card");
        pace.limited(std::time::Duration::ZERO);
        lane.extend(vec![queued("a/card", PROGRESS, 2)]);
        assert_eq!(lane.most_urgent(pace.has_room(OptionalMessage::Progress)), None);
        lane.extend(vec![queued("b/closing", OutboxKind::Message, 1)]);
        assert_eq!(lane.next(&pace).await.0.row.row.key, "b/closing");
    }
}
