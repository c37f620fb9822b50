//! The clock that the engine uses for timers. Its time is the wall-clock time at which the process started, plus the
//! time that has elapsed on a monotonic clock since the start.
//!
//! Invariant: a change of the system clock does not move timers while the process runs. After a restart, the process
//! reads the system clock again.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock whose time never goes back, even if the system clock is set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    wall: Timestamp,
    started: Instant,
}

impl MonotonicClock {
    /// Creates a clock whose current time is `wall`.
    pub(crate) fn starting_at(wall: Timestamp) -> Self {
        Self { wall, started: Instant::now() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = SignedDuration::try_from(self.started.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(elapsed).unwrap_or(Timestamp::MAX)
    }

    /// Returns the time from now until `at`; zero if `at` has passed.
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
