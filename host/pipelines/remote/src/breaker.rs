//! The breaker of one backend: after several failures in a row, requests fail at once until a probe succeeds.
//!
//! Invariant: while the breaker is open, at most one request is sent at a time, and none before the pause is over.

use std::time::{Duration, Instant};

use parking_lot::Mutex;
use wardroom::{
    Timestamp,
    base::{Backoff, spoken_duration},
};

use crate::error::RemoteError;

/// The number of failures in a row that opens the breaker.
const FAILURES: u32 = 5;
/// The longest pause between two probes.
const MAX_PAUSE: Duration = Duration::from_secs(60);

/// What follows the reason while the breaker is open.
const SINCE: &str = " (unavailable since ";

/// Returns the reason of an error without the times of an open breaker, which differ at each attempt.
pub(crate) fn without_times(reason: &str) -> &str {
    reason.split_once(SINCE).map_or(reason, |(reason, _)| reason)
}

/// Counts the failures of a server in a row.
#[derive(Debug)]
pub struct Breaker {
    first_pause: Duration,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    failures: u32,
    open: Option<Open>,
}

#[derive(Debug)]
struct Open {
    since: Timestamp,
    /// The time of the next probe.
    until: Instant,
    is_probing: bool,
    backoff: Backoff,
    reason: String,
}

/// The permission to send one request. Its holder reports the result. Without a report, the request counts as not sent.
#[derive(Debug)]
pub struct Permit<'b> {
    breaker: &'b Breaker,
    is_probe: bool,
    is_reported: bool,
}

impl Breaker {
    /// Creates a closed breaker. `first_pause` is the first pause while it is open; the pause doubles with each failed
    /// probe, up to a minute.
    pub fn new(first_pause: Duration) -> Self {
        Self { first_pause, state: Mutex::default() }
    }

    /// Returns the permission to send a request now.
    ///
    /// # Errors
    /// The breaker is open. The error is the reason for people.
    pub fn permit(&self) -> Result<Permit<'_>, String> {
        let mut state = self.state.lock();
        let Some(open) = &mut state.open else {
            return Ok(Permit { breaker: self, is_probe: false, is_reported: false });
        };
        let wait = open.until.saturating_duration_since(Instant::now());
        if wait.is_zero() && !open.is_probing {
            open.is_probing = true;
            return Ok(Permit { breaker: self, is_probe: true, is_reported: false });
        }
        let next = if open.is_probing {
            "it is being tried again now".to_owned()
        } else {
            format!("the next attempt is in {}", spoken_duration(Duration::from_secs(wait.as_secs().max(1))))
        };
        let since = open.since.strftime("%H:%M:%S UTC");
        Err(format!("{}{SINCE}{since}; {next})", open.reason))
    }

    fn succeed(&self) {
        *self.state.lock() = State::default();
    }

    fn fail(&self, is_probe: bool, reason: &str, retry_after: Option<Duration>) {
        let mut state = self.state.lock();
        state.failures = state.failures.saturating_add(1);
        let must_open = state.failures >= FAILURES || retry_after.is_some();
        match &mut state.open {
            // A request that was sent before the breaker opened says nothing new.
            Some(open) if is_probe => {
                open.is_probing = false;
                open.until = Instant::now() + open.backoff.next_delay_or(retry_after);
                reason.clone_into(&mut open.reason);
            }
            None if must_open => {
                let mut backoff = Backoff::new(self.first_pause, MAX_PAUSE);
                let until = Instant::now() + retry_after.unwrap_or_else(|| backoff.next_delay());
                let (since, reason) = (Timestamp::now(), reason.to_owned());
                state.open = Some(Open { since, until, is_probing: false, backoff, reason });
            }
            _ => {}
        }
    }
}

impl Permit<'_> {
    /// Reports the result of the request: its error, or `None` for a success.
    pub fn report(self, error: Option<&RemoteError>) {
        match error {
            Some(RemoteError::Unavailable { is_outage: true, retry_after, reason, .. }) => {
                self.fail(reason, *retry_after);
            }
            // An error before the request was sent says nothing about the server.
            Some(RemoteError::Unavailable { may_be_done: false, .. }) => drop(self),
            _ => self.succeed(),
        }
    }

    /// Reports an answer of the server. Closes the breaker.
    fn succeed(mut self) {
        self.is_reported = true;
        self.breaker.succeed();
    }

    /// Reports that the server is down. `retry_after` is the delay that it requests.
    fn fail(mut self, reason: &str, retry_after: Option<Duration>) {
        self.is_reported = true;
        self.breaker.fail(self.is_probe, reason, retry_after);
    }
}

impl Drop for Permit<'_> {
    fn drop(&mut self) {
        let is_lost = self.is_probe && !self.is_reported;
        if is_lost && let Some(open) = &mut self.breaker.state.lock().open {
            open.is_probing = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn open(pause: Duration) -> Breaker {
        let breaker = Breaker::new(pause);
        for _ in 0..FAILURES {
            breaker.permit().expect("closed").fail("connection refused", None);
        }
        breaker
    }

    #[test]
    fn failures_in_a_row_open_the_breaker() {
        let breaker = Breaker::new(Duration::from_secs(60));
        for _ in 0..3 {
            for _ in 1..FAILURES {
                breaker.permit().expect("closed").fail("x", None);
            }
            breaker.permit().expect("still closed").succeed();
        }
        let reason = open(Duration::from_secs(60)).permit().expect_err("open");
        assert!(reason.starts_with("connection refused (unavailable since "), "{reason}");
        assert!(reason.contains("the next attempt is in "), "{reason}");
    }

    #[test]
    fn one_probe_decides() {
        let breaker = open(Duration::ZERO);
        let probe = breaker.permit().expect("a probe");
        assert!(breaker.permit().expect_err("one probe at a time").contains("being tried again"));
        drop(probe);
        breaker.permit().expect("a cancelled probe is replaced").fail("still down", None);
        breaker.permit().expect("the next probe").succeed();
        assert!(breaker.permit().is_ok() && breaker.permit().is_ok(), "closed");
    }

    #[test]
    fn a_requested_delay_opens_the_breaker_at_once() {
        let breaker = Breaker::new(Duration::ZERO);
        breaker.permit().expect("closed").fail("503", Some(Duration::from_secs(30)));
        assert!(breaker.permit().is_err());
    }
}
