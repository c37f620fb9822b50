//! From what a program did to the engine's words for it.

use std::{collections::BTreeMap, time::Duration};

use rustix::process::WaitStatus;
use wardroom::{
    Timestamp,
    port::{Outcome, RunEnd},
};

/// The longest name of a step, in characters.
const STEP: usize = 80;

/// Why a supervisor stopped a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Stop {
    /// Somebody asked for it.
    Cancelled,
    /// It took longer than this.
    TimedOut(Duration),
}

/// The end of a run whose program ended so, after it was perhaps stopped.
pub(crate) fn ended(
    status: Option<WaitStatus>,
    stop: Option<Stop>,
    step: Option<String>,
    started: Timestamp,
    ended: Timestamp,
) -> RunEnd {
    let code = status.and_then(WaitStatus::exit_status);
    let signal = status.and_then(WaitStatus::terminating_signal);
    let (outcome, reason) = match (stop, code, signal) {
        (Some(Stop::Cancelled), ..) => (Outcome::Cancelled, "cancelled".to_owned()),
        (Some(Stop::TimedOut(limit)), ..) => (Outcome::Failed, format!("timed out after {}", span(limit))),
        (None, Some(0), _) => (Outcome::Succeeded, String::new()),
        (None, Some(code), _) => (Outcome::Failed, format!("exit code {code}")),
        (None, None, Some(signal)) => (Outcome::Failed, format!("killed by signal {signal}")),
        (None, None, None) => (Outcome::Unknown, "its exit code is not known".to_owned()),
    };
    let message = match &step {
        Some(step) if outcome != Outcome::Succeeded => format!("in step {step} ({reason})"),
        _ => reason,
    };
    let mut details = BTreeMap::new();
    details.extend(code.map(|code| ("exit-code".to_owned(), code.to_string())));
    details.extend(signal.map(|signal| ("signal".to_owned(), signal.to_string())));
    details.extend(step.map(|step| ("step".to_owned(), step)));
    RunEnd { outcome, message, started, ended, details }
}

/// The end of a run whose supervisor died before it could say more.
pub(crate) fn interrupted(started: Timestamp, found: Timestamp) -> RunEnd {
    RunEnd {
        outcome: Outcome::Unknown,
        message: "interrupted".to_owned(),
        started,
        ended: found,
        details: BTreeMap::new(),
    }
}

/// `10 min`, `1 min 30 s`, `2 h`, `500 ms`.
fn span(time: Duration) -> String {
    let seconds = time.as_secs();
    if seconds == 0 {
        return format!("{} ms", time.as_millis());
    }
    let parts = [(seconds / 3600, "h"), (seconds / 60 % 60, "min"), (seconds % 60, "s")];
    let parts: Vec<String> =
        parts.iter().filter(|(count, _)| *count > 0).map(|(count, unit)| format!("{count} {unit}")).collect();
    parts.join(" ")
}

/// Finds the newest line `step: NAME` in what a program says.
#[derive(Debug, Default)]
pub(crate) struct Steps {
    line: Vec<u8>,
    newest: Option<String>,
}

impl Steps {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < 4 * STEP + 16 {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(name) = line.strip_prefix(b"step: ") {
            let name: String = String::from_utf8_lossy(name).chars().filter(|letter| !letter.is_control()).collect();
            let name: String = name.trim().chars().take(STEP).collect();
            if !name.is_empty() {
                self.newest = Some(name);
            }
        }
    }

    /// The newest step; the last line counts also without a line end.
    pub(crate) fn finish(mut self) -> Option<String> {
        self.end_line();
        self.newest
    }
}

/// Cuts output into lines while it grows.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    unfinished: Vec<u8>,
}

impl Lines {
    /// A line that is longer is given in pieces, so that a program without line ends takes no memory.
    const LONGEST: usize = 16 << 10;

    pub(crate) fn feed(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(Self::LONGEST) {
                if self.unfinished.len() + piece.len() > Self::LONGEST {
                    self.finish(lines);
                }
                self.unfinished.extend_from_slice(piece);
            }
            if part.ends_with(b"\n") {
                self.unfinished.pop();
                if self.unfinished.last() == Some(&b'\r') {
                    self.unfinished.pop();
                }
                lines.push(take_text(&mut self.unfinished));
            }
        }
    }

    /// Gives the line that has no end yet.
    pub(crate) fn finish(&mut self, lines: &mut Vec<String>) {
        if !self.unfinished.is_empty() {
            lines.push(take_text(&mut self.unfinished));
        }
    }
}

fn take_text(bytes: &mut Vec<u8>) -> String {
    String::from_utf8_lossy(&std::mem::take(bytes)).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spans_read_as_people_say_them() {
        for (time, words) in [(600, "10 min"), (90, "1 min 30 s"), (7200, "2 h"), (2, "2 s")] {
            assert_eq!(span(Duration::from_secs(time)), words);
        }
        assert_eq!(span(Duration::from_millis(500)), "500 ms");
    }

    #[test]
    fn the_newest_step_counts() {
        let mut steps = Steps::default();
        steps.feed(b"step: fetch\nstep: mig");
        steps.feed(b"rate\x1b[1m \r\n a step: no\nstep: \n");
        assert_eq!(steps.finish().as_deref(), Some("migrate[1m"));
    }

    #[test]
    fn output_becomes_lines() {
        let (mut cut, mut lines) = (Lines::default(), Vec::new());
        cut.feed("one\r\n\ntw".as_bytes(), &mut lines);
        cut.feed(b"o\xff", &mut lines);
        assert_eq!(lines, ["one", ""]);
        cut.finish(&mut lines);
        assert_eq!(lines.last().unwrap(), "two\u{fffd}");
        lines.clear();
        cut.feed(&vec![b'x'; 40_000], &mut lines);
        cut.feed(b"\n", &mut lines);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [16384, 16384, 7232]);
    }
}
