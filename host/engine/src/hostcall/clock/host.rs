//! The host calls `clock.now` and `clock.after`.

use std::time::Duration;

use crate::{
    hostcall::{
        host_call::{HostCall, problem},
        invocation::{Invocation, Timer},
    },
    plugin::bindings::{
        clock::{Span, Timer as GuestTimer},
        types,
    },
    store::Entry,
};

/// The maximum duration of a timer and of a grant in chat, and the maximum delay of a scheduled job: 400 days.
pub(crate) const MAX_SPAN: Duration = Duration::from_secs(400 * 24 * 3600);

/// The host call `clock.now`, which returns the host's time.
pub(crate) struct Now;

impl HostCall for Now {
    type Params = ();
    type Answer = types::Instant;
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (): &()) -> Result<types::Instant, types::Error> {
        let now = invocation.context().clock.now();
        instant(now).ok_or_else(|| problem("unavailable", "the host's clock is set to a time before 1970"))
    }
}

/// The host call `clock.after`, which sets a timer for `pipelines.wait`.
pub(crate) struct After;

impl HostCall for After {
    type Params = (Span,);
    type Answer = GuestTimer;
    type Error = types::Error;

    async fn perform(&self, invocation: &mut Invocation, (span,): &(Span,)) -> Result<GuestTimer, types::Error> {
        if invocation.replay_state_mut().is_none() {
            return Err(problem("invalid", "a query cannot wait, so it cannot set a timer"));
        }
        let set = invocation.context().monotonic.now();
        let at = later(set, span.milliseconds)?;
        let id = format!("{}-t{}", invocation.job_id(), invocation.meter.calls());
        let answer = GuestTimer {
            id: id.clone(),
            at: instant(at).ok_or_else(|| problem("unavailable", "the host's clock is set to a time before 1970"))?,
        };
        if let Some(replay) = invocation.replay_state_mut() {
            replay.timers.insert(id, Timer { set, at });
        }
        Ok(answer)
    }

    fn replayed(
        &self,
        invocation: &mut Invocation,
        (span,): &(Span,),
        answer: &Result<GuestTimer, types::Error>,
        _: &Entry,
    ) {
        let (Ok(timer), Some(replay)) = (answer, invocation.replay_state_mut()) else { return };
        let at = i64::try_from(timer.at.unix_ms).ok().and_then(|ms| jiff::Timestamp::from_millisecond(ms).ok());
        let Some(at) = at else { return };
        let span = jiff::SignedDuration::from_millis(i64::try_from(span.milliseconds).unwrap_or(i64::MAX));
        let set = at.saturating_sub(span).unwrap_or(at);
        replay.timers.insert(timer.id.clone(), Timer { set, at });
    }
}

/// Returns the time `milliseconds` after `from`.
///
/// # Errors
/// `invalid` if `milliseconds` is more than [`MAX_SPAN`], or if the resulting time is out of range.
pub(crate) fn later(from: jiff::Timestamp, milliseconds: u64) -> Result<jiff::Timestamp, types::Error> {
    if u128::from(milliseconds) > MAX_SPAN.as_millis() {
        return Err(problem("invalid", "the time span is longer than the maximum of 400 days"));
    }
    let span = jiff::SignedDuration::from_millis(i64::try_from(milliseconds).unwrap_or(i64::MAX));
    from.checked_add(span).map_err(|_| problem("invalid", "the resulting time is out of range"))
}

/// Converts a timestamp to the type that plugins receive, in milliseconds since 1970. Returns `None` for a time before
/// 1970.
pub(crate) fn instant(at: jiff::Timestamp) -> Option<types::Instant> {
    u64::try_from(at.as_millisecond()).ok().map(|unix_ms| types::Instant { unix_ms })
}
