//! Limits the number of refusals that one person receives in one room, so that nobody can make the bot flood a room.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// The maximum number of answers within [`SPAN`].
const MOST: u32 = 8;
/// The length of the window, in milliseconds.
const SPAN: i64 = 60_000;
/// The maximum number of counters; above it, expired ones are removed.
const MOST_REMEMBERED: usize = 10_000;

/// Counts refusals per person and room.
#[derive(Debug, Default)]
pub(crate) struct ReplyLimiter(Mutex<HashMap<(String, String), Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    answered: u32,
    unsaid: u64,
}

impl ReplyLimiter {
    /// Counts a refusal. Returns the number of suppressed answers since the last answer, or `None` if this one is
    /// suppressed too.
    pub(crate) fn answer(&self, person: &str, room: &str, now: Timestamp) -> Option<u64> {
        let mut counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if counts.len() > MOST_REMEMBERED {
            counts.retain(|_, count| !over(count, now));
        }
        let count =
            counts.entry((person.to_owned(), room.to_owned())).or_insert(Count { since: now, answered: 0, unsaid: 0 });
        if over(count, now) {
            *count = Count { since: now, answered: 0, unsaid: count.unsaid };
        }
        if count.answered == MOST {
            count.unsaid += 1;
            return None;
        }
        count.answered += 1;
        Some(std::mem::take(&mut count.unsaid))
    }
}

fn over(count: &Count, now: Timestamp) -> bool {
    now.as_millisecond().saturating_sub(count.since.as_millisecond()) >= SPAN
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suppressed_answers_are_counted_and_reported_later() {
        let reply_limiter = ReplyLimiter::default();
        let at = |second| Timestamp::from_second(second).unwrap();
        for _ in 0..MOST {
            assert_eq!(reply_limiter.answer("bob", "ops", at(0)), Some(0));
        }
        assert_eq!(reply_limiter.answer("bob", "ops", at(1)), None);
        assert_eq!(reply_limiter.answer("bob", "ops", at(2)), None);
        assert_eq!(reply_limiter.answer("carol", "ops", at(2)), Some(0));
        assert_eq!(reply_limiter.answer("bob", "ops", at(61)), Some(2));
    }
}
