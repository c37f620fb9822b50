//! Waits for a pipeline run, for a timer, or for the first of several.
//!
//! Invariant: all functions use the contract's only waiting call, so a plugin that waits only for pipeline runs does
//! not import the clock.
//! Not here: scheduling jobs, which is in [`crate::Later`].

use core::time::Duration;

use crate::bindings::wardroom::plugin::clock::{self, Span, Timer};
use crate::bindings::wardroom::plugin::pipelines::{self, Ready, Run, WaitError, Waitable};
use crate::bindings::wardroom::plugin::types::{Error, Problem};

impl From<&Run> for Waitable {
    fn from(run: &Run) -> Self {
        Self { kind: "run".to_owned(), id: run.id.clone() }
    }
}

impl From<&Timer> for Waitable {
    fn from(timer: &Timer) -> Self {
        Self { kind: "timer".to_owned(), id: timer.id.clone() }
    }
}

/// Waits until a pipeline run ends.
///
/// # Errors
/// The errors of `pipelines.wait`.
pub fn wait_for(run: &Run) -> Result<Ready, WaitError> {
    pipelines::wait(&[run.into()])
}

/// Waits until a timer expires.
///
/// # Errors
/// The errors of `pipelines.wait`; `cancelled` if the job was cancelled before the timer expired.
pub fn wait_until(timer: &Timer) -> Result<Ready, WaitError> {
    pipelines::wait(&[timer.into()])
}

/// Waits for a duration with millisecond precision.
///
/// # Errors
/// The errors of `clock.after` and `pipelines.wait`; `cancelled` if the job was cancelled before the duration was over.
pub fn sleep(span: Duration) -> Result<Ready, WaitError> {
    wait_until(&timer(span)?)
}

/// Sets a timer that expires after the duration `span`, with millisecond precision.
///
/// # Errors
/// The errors of `clock.after`.
pub fn timer(span: Duration) -> Result<Timer, Error> {
    clock::after(Span { milliseconds: milliseconds(span) })
}

/// Waits until the first of `items` is ready. Returns its index in `items` and its result.
///
/// # Errors
/// The errors of `pipelines.wait`.
pub fn first_of(items: &[Waitable]) -> Result<(usize, Ready), WaitError> {
    with_index(items, pipelines::wait(items)?)
}

fn with_index(items: &[Waitable], ready: Ready) -> Result<(usize, Ready), WaitError> {
    match items.iter().position(|item| item.kind == ready.kind && item.id == ready.id) {
        Some(index) => Ok((index, ready)),
        None => Err(WaitError::Other(Problem {
            code: "unknown".to_owned(),
            message: format!(
                "internal error: the host returned the {} `{}`, which the plugin does not wait for; \
                 report this bug with the host's log",
                ready.kind, ready.id
            ),
        })),
    }
}

/// Converts a duration to milliseconds, at most `u64::MAX`. The host rejects durations over 400 days.
pub(crate) fn milliseconds(span: Duration) -> u64 {
    u64::try_from(span.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Instant;

    fn ready(kind: &str, id: &str) -> Ready {
        Ready {
            kind: kind.into(),
            id: id.into(),
            outcome: "succeeded".into(),
            message: String::new(),
            started: Instant { unix_ms: 0 },
            ended: Instant { unix_ms: 0 },
            details: Vec::new(),
        }
    }

    #[test]
    fn an_item_is_found_by_kind_and_id() {
        let run = Run { id: "7".into(), url: None };
        let timer = Timer { id: "7".into(), at: Instant { unix_ms: 0 } };
        let items = [Waitable::from(&run), Waitable::from(&timer)];
        assert_eq!(with_index(&items, ready("run", "7")).unwrap().0, 0);
        assert_eq!(with_index(&items, ready("timer", "7")).unwrap().0, 1);
        assert!(matches!(with_index(&items, ready("timer", "8")), Err(WaitError::Other(_))));
    }

    #[test]
    fn durations_are_converted_to_milliseconds() {
        assert_eq!(milliseconds(Duration::from_secs(90)), 90_000);
        assert_eq!(milliseconds(Duration::from_micros(1999)), 1);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
