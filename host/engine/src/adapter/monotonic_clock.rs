//! The clock that the engine uses for timers. Its time is the wall-clock time at which the process started, plus the
//! time that has elapsed since the start, including the time in which the machine was suspended.
//!
//! Invariant: a change of the system clock does not move timers while the process runs. After a restart, the process
//! reads the system clock again.

use std::time::Duration;

use jiff::{SignedDuration, Timestamp};

/// A clock whose time never goes back, even if the system clock is set back.
#[derive(Debug, Clone, Copy)]
pub(crate) struct MonotonicClock {
    wall: Timestamp,
    started: Duration,
}

/// Returns the time since the machine was started.
#[cfg(target_os = "linux")]
fn since_boot() -> Duration {
    let now = rustix::time::clock_gettime(rustix::time::ClockId::Boottime);
    Duration::new(now.tv_sec.try_into().unwrap_or_default(), now.tv_nsec.try_into().unwrap_or_default())
}

/// Returns the time since the first call.
#[cfg(not(target_os = "linux"))]
fn since_boot() -> Duration {
    static FIRST: std::sync::LazyLock<std::time::Instant> = std::sync::LazyLock::new(std::time::Instant::now);
    FIRST.elapsed()
}

impl MonotonicClock {
    /// Creates a clock whose current time is `wall`.
    pub(crate) fn starting_at(wall: Timestamp) -> Self {
        Self { wall, started: since_boot() }
    }

    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = since_boot().saturating_sub(self.started);
        let elapsed = SignedDuration::try_from(elapsed).unwrap_or(SignedDuration::MAX);
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
