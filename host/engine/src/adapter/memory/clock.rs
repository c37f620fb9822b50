//! A clock for tests that changes only when it is set.

use std::sync::{Mutex, PoisonError};

use jiff::Timestamp;

use crate::adapter::clock::Clock;

/// A clock for tests.
///
/// ```
/// use wardroom::prelude::*;
///
/// let clock = MemoryClock::at(Timestamp::UNIX_EPOCH);
/// clock.set(Timestamp::from_second(60).unwrap());
/// assert_eq!(clock.now().as_second(), 60);
/// ```
#[derive(Debug)]
pub struct MemoryClock(Mutex<Timestamp>);

impl MemoryClock {
    /// Creates a clock that shows this time.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Sets the time.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = time;
    }
}

impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
