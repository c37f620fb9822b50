//! A clock for tests, whose time changes only when a test sets it.

use jiff::Timestamp;
use parking_lot::Mutex;

use crate::adapter::clock::Clock;

/// A clock for tests. Its time changes only if a test calls [`MemoryClock::set`].
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
    /// Creates a clock whose time is `time`.
    pub fn at(time: Timestamp) -> Self {
        Self(Mutex::new(time))
    }

    /// Sets the time of the clock. The time can be earlier than before.
    pub fn set(&self, time: Timestamp) {
        *self.0.lock() = time;
    }
}

impl Clock for MemoryClock {
    fn now(&self) -> Timestamp {
        *self.0.lock()
    }
}
