//! The position in the output of one step, and the lines after it.
//!
//! Invariant: pure. A line is returned once, also if several responses contain it.

use jiff::SignedDuration;
use wardroom::Timestamp;

/// The maximum number of lines of a step that one read requests.
pub(crate) const MAX_LINES: usize = 1000;

/// How far the output of one step was read.
#[derive(Debug, Default, Clone, Copy)]
pub(crate) struct Position {
    /// The time of the last line, and the number of lines with this time.
    pub(crate) last: Option<(Timestamp, usize)>,
    pub(crate) is_done: bool,
}

/// The new lines of a response.
pub(crate) struct NewLines<'b> {
    pub(crate) lines: Vec<&'b [u8]>,
    /// Whether lines between the last read and this one are missing.
    pub(crate) is_gap: bool,
}

impl Position {
    /// Returns the lines of a response that were not seen before. `is_last` says whether the last line counts without
    /// its end, `is_full` whether the response was cut.
    pub(crate) fn take_new<'b>(&mut self, body: &'b [u8], is_last: bool, is_full: bool) -> NewLines<'b> {
        let mut found = NewLines { lines: Vec::new(), is_gap: false };
        let mut seen_at_last = 0;
        let (mut count, mut has_last) = (0, false);
        let before = self.last;
        for whole in body.split_inclusive(|byte| *byte == b'\n') {
            let is_complete = whole.ends_with(b"\n");
            // A line that fills a whole response would never be complete.
            let is_whole = is_full && count == 0;
            if !(is_complete || is_last || is_whole) {
                break;
            }
            count += 1;
            let line = whole.strip_suffix(b"\n").unwrap_or(whole);
            let line = line.strip_suffix(b"\r").unwrap_or(line);
            let Some((time, text)) = timed(line) else {
                found.lines.push(line);
                continue;
            };
            if let Some((last, passed)) = before {
                if time < last {
                    continue;
                }
                if time == last {
                    has_last = true;
                    seen_at_last += 1;
                    if seen_at_last <= passed {
                        continue;
                    }
                }
            }
            found.lines.push(text);
            self.last = match self.last {
                Some((last, passed)) if last == time => Some((last, passed + 1)),
                _ => Some((time, 1)),
            };
        }
        found.is_gap = match before {
            Some(_) => !has_last && !found.lines.is_empty() && count >= MAX_LINES,
            None => count >= MAX_LINES,
        };
        // Within one second there was more than a response holds. The rest of this second is left out.
        if is_full
            && found.lines.is_empty()
            && let Some((last, _)) = self.last
        {
            found.is_gap = true;
            self.last = Some((last.checked_add(SignedDuration::from_secs(1)).unwrap_or(last), 0));
        }
        found
    }
}

/// Separates the time at the beginning of a line from its text.
fn timed(line: &[u8]) -> Option<(Timestamp, &[u8])> {
    let end = line.iter().position(|byte| *byte == b' ').unwrap_or(line.len());
    let time = std::str::from_utf8(&line[..end]).ok()?.parse().ok()?;
    Some((time, line.get(end + 1..).unwrap_or_default()))
}

pub(crate) fn whole_seconds(time: Timestamp) -> String {
    Timestamp::from_second(time.as_second()).unwrap_or(time).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn taken(position: &mut Position, body: &str, is_last: bool) -> Vec<String> {
        let new = position.take_new(body.as_bytes(), is_last, false);
        new.lines.iter().map(|line| String::from_utf8_lossy(line).into_owned()).collect()
    }

    #[test]
    fn lines_that_were_seen_before_are_left_out() {
        let mut position = Position::default();
        let first = "2026-12-01T10:00:00.100000000Z one\n2026-12-01T10:00:00.100000000Z two\n";
        assert_eq!(taken(&mut position, first, false), ["one", "two"]);
        assert_eq!(taken(&mut position, first, false), [""; 0]);
        let more = format!("{first}2026-12-01T10:00:00.100000000Z three\n2026-12-01T10:00:00.200000000Z par");
        assert_eq!(taken(&mut position, &more, false), ["three"], "the last line is not complete");
        assert_eq!(taken(&mut position, &format!("{more}tial\n"), false), ["partial"]);
        let end = "2026-12-01T10:00:05.000000000Z last";
        assert_eq!(taken(&mut position, end, true), ["last"], "the step has ended");
        assert_eq!(whole_seconds(position.last.unwrap().0), "2026-12-01T10:00:05Z");
    }

    #[test]
    fn too_much_output_is_left_out_and_told() {
        let mut position = Position::default();
        position.take_new(b"2026-12-01T10:00:00.000000000Z one\n", false, false);
        let many: String = (0..MAX_LINES).map(|_| "2026-12-01T10:00:02.000000000Z x\n").collect();
        let new = position.take_new(many.as_bytes(), false, false);
        assert!(new.is_gap && new.lines.len() == MAX_LINES);
        // A response that has only lines of the last second brings nothing new.
        let new = position.take_new(many.as_bytes(), false, true);
        assert!(new.is_gap && new.lines.is_empty());
        assert_eq!(whole_seconds(position.last.unwrap().0), "2026-12-01T10:00:03Z");
    }

    #[test]
    fn a_line_longer_than_a_response_is_passed_on_once() {
        let mut position = Position::default();
        let long = format!("2026-12-01T10:00:00.000000000Z {}", "x".repeat(100));
        assert_eq!(position.take_new(long.as_bytes(), false, true).lines.len(), 1);
        assert_eq!(position.take_new(long.as_bytes(), false, true).lines.len(), 0);
    }
}
