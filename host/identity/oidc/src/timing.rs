//! The delays of a login.

use std::time::Duration;

/// The delays of a login. [`Default`] has the delays of a host; tests use shorter ones.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Timing {
    /// The shortest interval between two polls, also if the provider allows a shorter one. The default is 1 second.
    pub min_interval: Duration,
    /// The time that is added to the interval after each `slow_down`. The default is 5 seconds (RFC 8628, section 3.5).
    pub slow_down: Duration,
}

impl Default for Timing {
    fn default() -> Self {
        Self { min_interval: Duration::from_secs(1), slow_down: Duration::from_secs(5) }
    }
}
