//! The retry schedule of one task: when the next attempt is due, and whether a failure was logged.

use std::time::{Duration, Instant};

use wardroom::base::Backoff;

/// The retry schedule of one task, with a backoff. The first attempt is due at once.
#[derive(Debug, Default)]
pub struct RetrySchedule {
    backoff: Backoff,
    /// The time of the next attempt; `None` if the task is due at once.
    due: Option<Instant>,
    reported: bool,
}

impl RetrySchedule {
    /// Returns whether the task is due at `now`.
    pub fn is_due(&self, now: Instant) -> bool {
        self.due.is_none_or(|due| due <= now)
    }

    /// Returns the time at which the task is due; `None` if it is due at once.
    pub fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Records a failure and schedules the retry. `requested` is the delay that the server requested, if any. The retry
    /// is due after the backoff or after `requested`, whichever is longer. Returns `true` for the first failure since
    /// the last success, and `false` for later failures. The caller logs only the first failure.
    pub fn record_failure(&mut self, now: Instant, requested: Option<Duration>) -> bool {
        self.due = Some(now + self.backoff.next_delay_or(requested));
        !std::mem::replace(&mut self.reported, true)
    }

    /// Records a success: resets the backoff, so that the next failure counts as the first one.
    pub fn record_success(&mut self) {
        self.backoff.reset();
        self.reported = false;
    }

    /// Delays the next attempt until `time`. If the attempt is scheduled for a later time, changes nothing.
    pub fn delay_until(&mut self, time: Instant) {
        self.due = self.due.max(Some(time));
    }

    /// Makes the task due at once.
    pub fn run_now(&mut self) {
        self.due = None;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failing_task_is_reported_once_and_retried_with_growing_delays() {
        let mut schedule = RetrySchedule::default();
        let mut now = Instant::now();
        assert!(schedule.is_due(now));
        assert!(schedule.record_failure(now, None), "the first failure is reported");
        assert!(!schedule.is_due(now));
        let first = schedule.due().expect("a time") - now;
        for _ in 0..8 {
            now = schedule.due().expect("a time");
            assert!(schedule.is_due(now) && !schedule.record_failure(now, None), "later failures are not reported");
        }
        assert!(schedule.due().expect("a time") - now > first * 10);
        schedule.record_success();
        assert!(schedule.record_failure(now, None), "a failure after a success is reported");
    }

    #[test]
    fn a_requested_delay_postpones_and_never_advances_the_retry() {
        let (mut schedule, now) = (RetrySchedule::default(), Instant::now());
        schedule.record_failure(now, Some(Duration::from_secs(60)));
        schedule.delay_until(now + Duration::from_secs(5));
        assert!(!schedule.is_due(now + Duration::from_secs(59)));
        schedule.run_now();
        assert!(schedule.is_due(now));
    }
}
