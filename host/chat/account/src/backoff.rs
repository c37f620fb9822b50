//! When to try again.

use std::time::Duration;

/// The longest pause between two tries.
const LONGEST: Duration = Duration::from_secs(30);
/// The longest pause that a server gets when it asks for one.
pub const LONGEST_ASKED: Duration = Duration::from_secs(300);

/// Pauses that begin short, so that a restarted server is met at once, and grow.
#[derive(Debug, Default)]
pub struct Backoff {
    tries: u32,
}

impl Backoff {
    /// The next pause: a quarter of a second, doubled with each try up to thirty seconds, spread by a quarter either way so
    /// that many clients do not come back in the same instant.
    pub fn next_pause(&mut self) -> Duration {
        let whole = Duration::from_millis(250).saturating_mul(1 << self.tries.min(10)).min(LONGEST);
        self.tries = self.tries.saturating_add(1);
        whole.mul_f64(0.75 + 0.5 * random_share())
    }

    /// The next pause, or as long as the server asked for if that is longer, up to [`LONGEST_ASKED`].
    pub fn next_asked(&mut self, asked: Option<Duration>) -> Duration {
        let next = self.next_pause();
        asked.map_or(next, |asked| next.max(asked.min(LONGEST_ASKED)))
    }

    /// Waits for that long.
    pub async fn pause(&mut self, asked: Option<Duration>) {
        let next = self.next_asked(asked);
        tokio::time::sleep(next).await;
    }

    /// It worked.
    pub fn reset(&mut self) {
        self.tries = 0;
    }
}

/// A number from 0 to 1.
fn random_share() -> f64 {
    getrandom::u32().map_or(0.5, |number| f64::from(number) / f64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_begin_short_and_stay_under_forty_seconds() {
        let mut backoff = Backoff::default();
        assert!(backoff.next_pause() < Duration::from_millis(400));
        let pauses: Vec<Duration> = (0..40).map(|_| backoff.next_pause()).collect();
        assert!(pauses.iter().all(|pause| *pause < Duration::from_secs(40)), "{pauses:?}");
        assert!(pauses[30] > Duration::from_secs(20), "{pauses:?}");
        backoff.reset();
        assert!(backoff.next_pause() < Duration::from_millis(400));
    }

    #[test]
    fn a_server_that_asks_for_longer_gets_it_within_reason() {
        let asked = |seconds| Backoff::default().next_asked(Some(Duration::from_secs(seconds)));
        assert_eq!(asked(90), Duration::from_secs(90));
        assert_eq!(asked(86_400), LONGEST_ASKED);
        assert!(asked(0) > Duration::ZERO);
    }
}
