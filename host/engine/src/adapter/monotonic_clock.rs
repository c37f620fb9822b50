//! The clock of timers: the wall time at the start plus the time of a monotonic clock.
//!
//! Invariant: while the process runs, a change of the system clock does not move timers. After a restart the wall clock
//! counts again.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock that is never set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    wall: Timestamp,
    began: Instant,
}

impl MonotonicClock {
    /// A clock that shows this time now.
    pub(crate) fn starting_at(wall: Timestamp) -> Self {
        Self { wall, began: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let gone = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(gone).unwrap_or(Timestamp::MAX)
    }

    /// The time until a moment; zero if it has passed.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_remaining_time_decreases_to_zero() {
        let start = Timestamp::from_second(1_000).unwrap();
        let clock = MonotonicClock::starting_at(start);
        let soon = start.saturating_add(SignedDuration::from_secs(60)).unwrap();
        assert!(clock.until(soon) <= Duration::from_secs(60) && clock.until(soon) > Duration::from_secs(50));
        assert_eq!(clock.until(start), Duration::ZERO);
        assert!(clock.now() >= start);
    }
}
