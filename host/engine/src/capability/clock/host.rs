//! The contract's side of `clock`.

use crate::{
    capability::{HostCall, Invocation, call::problem},
    plugin::bindings::types,
};

/// `clock.now`
pub(crate) struct Now;

impl HostCall for Now {
    type Params = ();
    type Answer = types::Instant;
    type Error = types::Error;

    async fn perform(invocation: &mut Invocation, (): &()) -> Result<types::Instant, types::Error> {
        let now = invocation.shared().clock.now();
        instant(now).ok_or_else(|| problem("unavailable", "the clock stands before 1970"))
    }
}

/// A moment as the contract writes it.
pub(crate) fn instant(at: jiff::Timestamp) -> Option<types::Instant> {
    u64::try_from(at.as_millisecond()).ok().map(|unix_ms| types::Instant { unix_ms })
}
