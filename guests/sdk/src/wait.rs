//! Waiting: for a run, for a time, for the first of several.
//!
//! Invariant: all of it is the contract's one waiting call, so a plugin that only waits for runs imports no clock.
//! Not here: work that is left for later; see [`crate::Later`].

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

/// Waits for the end of a run.
///
/// # Errors
/// What `pipelines.wait` answers.
pub fn wait_for(run: &Run) -> Result<Ready, WaitError> {
    pipelines::wait(&[run.into()])
}

/// Waits until the moment of a timer.
///
/// # Errors
/// What `pipelines.wait` answers; `cancelled` where the job was called off before.
pub fn wait_until(timer: &Timer) -> Result<Ready, WaitError> {
    pipelines::wait(&[timer.into()])
}

/// Waits for a span of time, to the millisecond.
///
/// # Errors
/// What `clock.after` and `pipelines.wait` answer; `cancelled` where the job was called off before.
pub fn sleep(span: Duration) -> Result<Ready, WaitError> {
    wait_until(&timer(span)?)
}

/// Sets a timer, to the millisecond.
///
/// # Errors
/// What `clock.after` answers.
pub fn timer(span: Duration) -> Result<Timer, Error> {
    clock::after(Span { milliseconds: milliseconds(span) })
}

/// Waits for the first of these to be there, and says which place it has among them.
///
/// # Errors
/// What `pipelines.wait` answers.
pub fn first_of(items: &[Waitable]) -> Result<(usize, Ready), WaitError> {
    place(items, pipelines::wait(items)?)
}

fn place(items: &[Waitable], ready: Ready) -> Result<(usize, Ready), WaitError> {
    match items.iter().position(|item| item.kind == ready.kind && item.id == ready.id) {
        Some(place) => Ok((place, ready)),
        None => Err(WaitError::Other(Problem {
            code: "unknown".to_owned(),
            message: format!("the host answered with the {} `{}`, which was not waited for", ready.kind, ready.id),
        })),
    }
}

/// A span as the contract counts it. What is too long for it is too long for the host as well, which says so.
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
    fn the_first_is_told_by_its_kind_and_its_id() {
        let run = Run { id: "7".into(), url: None };
        let timer = Timer { id: "7".into(), at: Instant { unix_ms: 0 } };
        let items = [Waitable::from(&run), Waitable::from(&timer)];
        assert_eq!(place(&items, ready("run", "7")).unwrap().0, 0);
        assert_eq!(place(&items, ready("timer", "7")).unwrap().0, 1);
        assert!(matches!(place(&items, ready("timer", "8")), Err(WaitError::Other(_))));
    }

    #[test]
    fn spans_are_counted_in_milliseconds() {
        assert_eq!(milliseconds(Duration::from_secs(90)), 90_000);
        assert_eq!(milliseconds(Duration::from_micros(1999)), 1);
        assert_eq!(milliseconds(Duration::MAX), u64::MAX);
    }
}
