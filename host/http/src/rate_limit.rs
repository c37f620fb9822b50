//! A token bucket that limits the rate of requests.

use std::time::{Duration, Instant};

use parking_lot::Mutex;

/// A token bucket that limits the rate of requests. It allows `capacity` requests per minute, and up to `capacity`
/// requests at once.
pub(crate) struct TokenBucket {
    capacity: f64,
    /// The number of available tokens (allowed requests), and the time at which this number was computed.
    state: Mutex<(f64, Instant)>,
}

impl TokenBucket {
    /// Returns a full bucket. A `capacity` of 0 counts as 1.
    pub(crate) fn per_minute(capacity: u32) -> Self {
        let capacity = f64::from(capacity.max(1));
        Self { capacity, state: Mutex::new((capacity, Instant::now())) }
    }

    /// Takes one token, which allows one request.
    ///
    /// # Errors
    /// The bucket is empty. The error is the time until the next token is available.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Duration> {
        let mut state = self.state.lock();
        let (tokens, at) = *state;
        let per_second = self.capacity / 60.0;
        let tokens = (tokens + now.duration_since(at).as_secs_f64() * per_second).min(self.capacity);
        let taken = tokens >= 1.0;
        *state = (if taken { tokens - 1.0 } else { tokens }, now.max(at));
        if taken { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - tokens) / per_second)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_allows_a_burst_and_then_refills_at_its_rate() {
        let bucket = TokenBucket::per_minute(60);
        let start = Instant::now();
        for _ in 0..60 {
            assert_eq!(bucket.take_at(start), Ok(()));
        }
        let wait = bucket.take_at(start).unwrap_err();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(bucket.take_at(start + Duration::from_millis(1100)), Ok(()));
        assert!(bucket.take_at(start + Duration::from_millis(1200)).is_err());
        // The bucket never exceeds its capacity.
        let later = start + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| bucket.take_at(later).is_ok()).count(), 60);
    }
}
