//! Time for timers: the wall clock as it was at the start, moved on by a clock that nobody sets.
//!
//! Invariant: while the process runs a jump of the wall clock neither brings a moment nearer nor pushes it away.
//! Across a restart the wall clock counts.

use std::time::{Duration, Instant};

use jiff::{SignedDuration, Timestamp};

/// A clock that only goes on.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    wall: Timestamp,
    began: Instant,
}

impl MonotonicClock {
    /// A clock that shows this now.
    pub(crate) fn starting_at(wall: Timestamp) -> Self {
        Self { wall, began: Instant::now() }
    }

    /// The time.
    pub(crate) fn now(&self) -> Timestamp {
        let gone = SignedDuration::try_from(self.began.elapsed()).unwrap_or(SignedDuration::MAX);
        self.wall.saturating_add(gone).unwrap_or(Timestamp::MAX)
    }

    /// How long until a moment; nothing where it has come.
    pub(crate) fn until(&self, at: Timestamp) -> Duration {
        at.duration_since(self.now()).try_into().unwrap_or(Duration::ZERO)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_moment_comes_nearer_and_never_goes_below_nothing() {
        let start = Timestamp::from_second(1_000).unwrap();
        let clock = MonotonicClock::starting_at(start);
        let soon = start.saturating_add(SignedDuration::from_secs(60)).unwrap();
        assert!(clock.until(soon) <= Duration::from_secs(60) && clock.until(soon) > Duration::from_secs(50));
        assert_eq!(clock.until(start), Duration::ZERO);
        assert!(clock.now() >= start);
    }
}
