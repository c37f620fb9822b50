//! Limits the number of replies that one person receives in one room, so that nobody can make the bot flood a room:
//! refusals, and for people without a role also answers.

use std::collections::HashMap;

use jiff::Timestamp;
use parking_lot::Mutex;

/// The maximum number of replies that one person receives in one room within [`WINDOW`]. Further replies are not sent.
const MAX_REPLIES: u32 = 8;
/// The time window in which replies are counted, in milliseconds.
const WINDOW: i64 = 60_000;
/// The maximum number of counters before a cleanup. If more counters exist, those whose [`WINDOW`] has expired are
/// removed.
const MAX_COUNTERS: usize = 10_000;

/// The counters of replies, by person and room.
#[derive(Debug, Default)]
pub(crate) struct ReplyLimiter(Mutex<HashMap<(String, String), Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    answered: u32,
    suppressed: u64,
}

impl ReplyLimiter {
    /// Counts a reply to `person` in `room`. Returns `None` if the reply must be suppressed. Otherwise returns the
    /// number of replies that were suppressed since the last reply that was sent.
    pub(crate) fn answer(&self, person: &str, room: &str, now: Timestamp) -> Option<u64> {
        let mut counts = self.0.lock();
        if counts.len() > MAX_COUNTERS {
            counts.retain(|_, count| !is_expired(count, now));
        }
        let new = Count { since: now, answered: 0, suppressed: 0 };
        let count = counts.entry((person.to_owned(), room.to_owned())).or_insert(new);
        if is_expired(count, now) {
            *count = Count { suppressed: count.suppressed, ..new };
        }
        if count.answered == MAX_REPLIES {
            count.suppressed += 1;
            return None;
        }
        count.answered += 1;
        Some(std::mem::take(&mut count.suppressed))
    }
}

fn is_expired(count: &Count, now: Timestamp) -> bool {
    now.as_millisecond().saturating_sub(count.since.as_millisecond()) >= WINDOW
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_answers_are_counted_and_reported_later() {
        let reply_limiter = ReplyLimiter::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for _ in 0..MAX_REPLIES {
            assert_eq!(reply_limiter.answer("bob", "ops", at(0)), Some(0));
        }
        assert_eq!(reply_limiter.answer("bob", "ops", at(1)), None);
        assert_eq!(reply_limiter.answer("bob", "ops", at(2)), None);
        assert_eq!(reply_limiter.answer("carol", "ops", at(2)), Some(0));
        assert_eq!(reply_limiter.answer("bob", "ops", at(61)), Some(2));
    }
}
