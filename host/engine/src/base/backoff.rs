//! Exponential backoff with jitter, for retries of failed requests and connections.

use std::time::Duration;

const DEFAULT_BASE: Duration = Duration::from_millis(250);
const DEFAULT_CAP: Duration = Duration::from_secs(30);
/// The maximum random change of a delay, as a fraction of the delay: 0.25 is ±25 %. Jitter prevents many clients from
/// retrying at the same instant.
const JITTER: f64 = 0.25;

/// Exponential backoff for retries. The delay before the first retry is the base delay. The delay doubles with each
/// retry, up to a cap, and is then changed at random by up to 25 %.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    retries: u32,
}

impl Default for Backoff {
    /// Creates a backoff whose delays grow from 250 ms to 30 s. The delay before the first retry is short, so that a
    /// client reconnects soon after a server's restart.
    fn default() -> Self {
        Self::new(DEFAULT_BASE, DEFAULT_CAP)
    }
}

impl Backoff {
    /// The longest retry delay that a client accepts from a server, for example in a `Retry-After` header. A longer
    /// requested delay is shortened to this limit.
    pub const MAX_REQUESTED: Duration = Duration::from_secs(300);

    /// Creates a backoff whose delays grow from `base` to `cap`. The jitter can extend a delay beyond `cap` by 25 %.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, retries: 0 }
    }

    /// Returns the delay before the next retry, and counts one retry.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.base.saturating_mul(1_u32.checked_shl(self.retries).unwrap_or(u32::MAX)).min(self.cap);
        self.retries = self.retries.saturating_add(1);
        delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * random_share())
    }

    /// Counts one retry, and returns the delay before this retry. `requested` is the delay that the server requires;
    /// `None` if it requires none. If `requested` is longer than the backoff's own delay, returns `requested`, but at
    /// most [`Self::MAX_REQUESTED`].
    pub fn next_delay_or(&mut self, requested: Option<Duration>) -> Duration {
        let delay = self.next_delay();
        requested.map_or(delay, |requested| delay.max(requested.min(Self::MAX_REQUESTED)))
    }

    /// Counts one retry, and sleeps for the delay from [`Backoff::next_delay_or`]. `requested` is the delay that the
    /// server requires; `None` if it requires none.
    pub async fn wait(&mut self, requested: Option<Duration>) {
        let delay = self.next_delay_or(requested);
        tokio::time::sleep(delay).await;
    }

    /// Returns the number of retries since the backoff was created or last reset.
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Sets the next delay back to the base delay, and the number of retries to zero. Call this method after a success.
    pub fn reset(&mut self) {
        self.retries = 0;
    }
}

/// Returns a random number from 0 to 1. Returns 0.5 if the operating system cannot provide random numbers.
fn random_share() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn delays_grow_from_the_base_to_the_cap_and_start_again_after_a_reset() {
        let mut backoff = Backoff::default();
        assert!(backoff.next_delay() < Duration::from_millis(400));
        let delays: Vec<Duration> = (0..40).map(|_| backoff.next_delay()).collect();
        assert!(delays.iter().all(|delay| *delay < Duration::from_secs(40)), "{delays:?}");
        assert!(delays[30] > Duration::from_secs(20), "{delays:?}");
        backoff.reset();
        assert!(backoff.next_delay() < Duration::from_millis(400));
    }

    #[test]
    fn a_requested_delay_is_honored_up_to_a_maximum() {
        let requested = |seconds| Backoff::default().next_delay_or(Some(Duration::from_secs(seconds)));
        assert_eq!(requested(90), Duration::from_secs(90));
        assert_eq!(requested(86_400), Backoff::MAX_REQUESTED);
        assert!(requested(0) > Duration::ZERO);
    }
}
