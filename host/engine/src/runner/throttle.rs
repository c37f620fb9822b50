//! Limits the processor time of a job over all its runs. A plugin that only sets timers of zero length would otherwise
//! run again and again, each time within the limit of one run.

use std::{
    collections::HashMap,
    time::{Duration, Instant},
};

use parking_lot::Mutex;

/// The period over which the processor time of a job is counted.
const PERIOD: Duration = Duration::from_secs(60);
/// The maximum processor time of a job in one [`PERIOD`], as a multiple of the limit of one run.
const RUNS: u32 = 10;
/// The number of jobs above which the counts of earlier periods are removed.
const MAX_JOBS: usize = 1_000;

/// The processor time of a job in the current period.
struct Usage {
    since: Instant,
    used: Duration,
}

/// The processor time that jobs have used in the last minute.
#[derive(Default)]
pub(crate) struct Throttle(Mutex<HashMap<String, Usage>>);

impl Throttle {
    /// Adds the processor time of one run of a job.
    pub(crate) fn add(&self, job: &str, used: Duration, now: Instant) {
        let mut jobs = self.0.lock();
        let is_current = |usage: &Usage| now.duration_since(usage.since) < PERIOD;
        if jobs.len() > MAX_JOBS {
            jobs.retain(|_, usage| is_current(usage));
        }
        let usage = jobs.entry(job.to_owned()).or_insert(Usage { since: now, used: Duration::ZERO });
        if !is_current(usage) {
            *usage = Usage { since: now, used: Duration::ZERO };
        }
        usage.used += used;
    }

    /// Returns the time for which a job must wait before its next run; `None` if it may run now. `limit` is the limit
    /// on the processor time of one run.
    pub(crate) fn wait(&self, job: &str, limit: Duration, now: Instant) -> Option<Duration> {
        let jobs = self.0.lock();
        let usage = jobs.get(job)?;
        let left = PERIOD.saturating_sub(now.duration_since(usage.since));
        (usage.used >= limit * RUNS && !left.is_zero()).then_some(left)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_waits_until_the_period_ends() {
        let (throttle, limit, start) = (Throttle::default(), Duration::from_secs(1), Instant::now());
        let at = |seconds| start + Duration::from_secs(seconds);
        for second in 0..9 {
            throttle.add("a", limit, at(second));
            assert_eq!(throttle.wait("a", limit, at(second)), None);
        }
        throttle.add("a", limit, at(9));
        assert_eq!(throttle.wait("a", limit, at(20)), Some(Duration::from_secs(40)));
        assert_eq!(throttle.wait("b", limit, at(20)), None, "each job has its own count");
        assert_eq!(throttle.wait("a", limit, at(60)), None);
        throttle.add("a", limit, at(61));
        assert_eq!(throttle.wait("a", limit, at(61)), None, "a new period begins");
    }
}
