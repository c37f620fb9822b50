//! So many in a minute: a bucket that fills by itself.

use std::{
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

/// What may be done so often in a minute, and as often at once.
pub(crate) struct Bucket {
    most: f64,
    left: Mutex<(f64, Instant)>,
}

impl Bucket {
    /// So often.
    pub(crate) fn a_minute(most: u32) -> Self {
        let most = f64::from(most.max(1));
        Self { most, left: Mutex::new((most, Instant::now())) }
    }

    /// Takes one out.
    ///
    /// # Errors
    /// There is none; how long until there is.
    pub(crate) fn take(&self) -> Result<(), Duration> {
        self.take_at(Instant::now())
    }

    fn take_at(&self, now: Instant) -> Result<(), Duration> {
        let mut held = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let (left, at) = *held;
        let a_second = self.most / 60.0;
        let left = (left + now.duration_since(at).as_secs_f64() * a_second).min(self.most);
        let taken = left >= 1.0;
        *held = (if taken { left - 1.0 } else { left }, now.max(at));
        if taken { Ok(()) } else { Err(Duration::from_secs_f64((1.0 - left) / a_second)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_as_fit_and_then_one_at_a_time() {
        let bucket = Bucket::a_minute(60);
        let began = Instant::now();
        for _ in 0..60 {
            assert_eq!(bucket.take_at(began), Ok(()));
        }
        let wait = bucket.take_at(began).unwrap_err();
        assert!(wait > Duration::from_millis(900) && wait <= Duration::from_secs(1), "{wait:?}");
        assert_eq!(bucket.take_at(began + Duration::from_millis(1100)), Ok(()));
        assert!(bucket.take_at(began + Duration::from_millis(1200)).is_err());
        // It never holds more than fits.
        let later = began + Duration::from_secs(3600);
        assert_eq!((0..100).filter(|_| bucket.take_at(later).is_ok()).count(), 60);
    }
}
