//! Exponential backoff with jitter.

use std::time::Duration;

/// The longest delay that a server gets when it requests one.
pub const MAX_REQUESTED_DELAY: Duration = Duration::from_secs(300);

const DEFAULT_BASE: Duration = Duration::from_millis(250);
const DEFAULT_CAP: Duration = Duration::from_secs(30);
/// The share by which a delay is made shorter or longer at random, so that many clients do not retry at the same instant.
const JITTER: f64 = 0.25;

/// Delays between retries: the base delay, doubled with each retry up to a cap, with 25 % jitter.
#[derive(Debug)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    retries: u32,
}

impl Default for Backoff {
    /// From 250 ms to 30 s. The first delay is short, so that a restarted server is reconnected at once.
    fn default() -> Self {
        Self::new(DEFAULT_BASE, DEFAULT_CAP)
    }
}

impl Backoff {
    /// Starts at `base` and never exceeds `cap` plus jitter.
    pub const fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, retries: 0 }
    }

    /// The delay before the next retry.
    pub fn next_delay(&mut self) -> Duration {
        let delay = self.base.saturating_mul(1_u32.checked_shl(self.retries).unwrap_or(u32::MAX)).min(self.cap);
        self.retries = self.retries.saturating_add(1);
        delay.mul_f64(1.0 - JITTER + 2.0 * JITTER * random_share())
    }

    /// The delay before the next retry, or the delay that the server requested where that is longer, up to
    /// [`MAX_REQUESTED_DELAY`].
    pub fn next_delay_or(&mut self, requested: Option<Duration>) -> Duration {
        let delay = self.next_delay();
        requested.map_or(delay, |requested| delay.max(requested.min(MAX_REQUESTED_DELAY)))
    }

    /// Sleeps for [`Backoff::next_delay_or`].
    pub async fn wait(&mut self, requested: Option<Duration>) {
        let delay = self.next_delay_or(requested);
        tokio::time::sleep(delay).await;
    }

    /// How many delays there were since the start or the last [`Backoff::reset`].
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Starts again at the base delay. To be called after a success.
    pub fn reset(&mut self) {
        self.retries = 0;
    }
}

/// A random number from 0 to 1.
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
        assert_eq!(requested(86_400), MAX_REQUESTED_DELAY);
        assert!(requested(0) > Duration::ZERO);
    }
}
