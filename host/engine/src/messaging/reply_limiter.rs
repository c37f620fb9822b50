//! How many refusals one person gets in one room: enough to learn from, not enough to flood a room with.

use std::{
    collections::HashMap,
    sync::{Mutex, PoisonError},
};

use jiff::Timestamp;

/// Answers within one span.
const MOST: u32 = 8;
/// The span, in milliseconds.
const SPAN: i64 = 60_000;
/// People and rooms that are remembered; beyond it, those whose span is over are forgotten.
const MOST_REMEMBERED: usize = 10_000;

/// Counts refusals.
#[derive(Debug, Default)]
pub(crate) struct ReplyLimiter(Mutex<HashMap<(String, String), Count>>);

#[derive(Debug, Clone, Copy)]
struct Count {
    since: Timestamp,
    answered: u32,
    unsaid: u64,
}

impl ReplyLimiter {
    /// Whether a refusal is answered: how many were not since the last answer, or `None` where this one is not either.
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
    fn a_flood_is_counted_and_said_later() {
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
