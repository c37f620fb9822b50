//! Prints the steps of a task and their durations.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::report;

pub(crate) struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Runs one step and prints its start and its end.
    pub(crate) fn run<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.timed(what, work).0
    }

    /// Runs one step like [`Steps::run`], and also returns its duration.
    pub(crate) fn timed<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> (Result<T>, Duration) {
        self.begin(what);
        let started = Instant::now();
        let outcome = work();
        let took = started.elapsed();
        let word = if outcome.is_ok() { "done" } else { "failed" };
        report(&format!("[{}/{}] {what}: {word} in {}\n", self.done, self.total, seconds(took)));
        (outcome, took)
    }

    /// Prints the start of a step. For a step that never returns, such as `exec`.
    pub(crate) fn begin(&mut self, what: &str) {
        self.done += 1;
        report(&format!("[{}/{}] {what} ...\n", self.done, self.total));
    }
}

/// Formats a duration: `0.4 s`, `12 s`, `2 min 5 s`.
pub(crate) fn seconds(span: Duration) -> String {
    let whole = span.as_secs_f64().round() as u64;
    match whole {
        0..10 => format!("{:.1} s", span.as_secs_f64()),
        10..60 => format!("{whole} s"),
        _ => format!("{} min {} s", whole / 60, whole % 60),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_rounded() {
        let texts = [0.44, 12.3, 59.6, 125.0].map(|span| seconds(Duration::from_secs_f64(span)));
        assert_eq!(texts, ["0.4 s", "12 s", "1 min 0 s", "2 min 5 s"]);
    }

    #[test]
    fn the_error_of_a_step_is_returned() {
        let failed = Steps::new(1).run("breaking", || anyhow::bail!("broken") as Result<()>);
        assert_eq!(failed.unwrap_err().to_string(), "broken");
    }
}
