//! The trait of the wall clock, which tests can replace, and the clock of the operating system.

use jiff::Timestamp;

/// A source of the current wall-clock time. Tests and embedders can implement their own clock.
///
/// ```
/// use wardroom::prelude::*;
///
/// struct Stopped;
///
/// impl Clock for Stopped {
///     fn now(&self) -> Timestamp {
///         Timestamp::UNIX_EPOCH
///     }
/// }
/// assert_eq!(Stopped.now().as_second(), 0);
/// ```
pub trait Clock: Send + Sync + 'static {
    /// Returns the current wall-clock time.
    fn now(&self) -> Timestamp;
}

/// The wall clock of the operating system.
///
/// ```
/// use wardroom::prelude::*;
///
/// assert!(SystemClock.now() > Timestamp::UNIX_EPOCH);
/// ```
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        Timestamp::now()
    }
}
