//! Says which step a task is at, and how long each took.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::say;

/// The steps of one task.
pub(crate) struct Steps {
    total: usize,
    done: usize,
}

impl Steps {
    /// So many steps.
    pub(crate) fn new(total: usize) -> Self {
        Self { total, done: 0 }
    }

    /// Does one step, and says when it begins and when it is over.
    pub(crate) fn run<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> Result<T> {
        self.timed(what, work).0
    }

    /// The same, also giving how long it took.
    pub(crate) fn timed<T>(&mut self, what: &str, work: impl FnOnce() -> Result<T>) -> (Result<T>, Duration) {
        self.begin(what);
        let begun = Instant::now();
        let outcome = work();
        let took = begun.elapsed();
        let word = if outcome.is_ok() { "done" } else { "failed" };
        say(&format!("[{}/{}] {what}: {word} in {}\n", self.done, self.total, seconds(took)));
        (outcome, took)
    }

    /// Begins a step that does not end here.
    pub(crate) fn begin(&mut self, what: &str) {
        self.done += 1;
        say(&format!("[{}/{}] {what} ...\n", self.done, self.total));
    }
}

/// A time as people read it: `0.4 s`, `12 s`, `2 min 5 s`.
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
    fn times_are_short() {
        let said = [0.44, 12.3, 59.6, 125.0].map(|span| seconds(Duration::from_secs_f64(span)));
        assert_eq!(said, ["0.4 s", "12 s", "1 min 0 s", "2 min 5 s"]);
    }

    #[test]
    fn a_step_that_fails_gives_its_error() {
        let failed = Steps::new(1).run("breaking", || anyhow::bail!("broken") as Result<()>);
        assert_eq!(failed.unwrap_err().to_string(), "broken");
    }
}
