//! Splits a program's output into lines, and finds the lines `step: NAME`, with which a program reports its steps.

/// Maximum length of a step's name, in characters; a longer name is truncated.
const MAX_STEP_NAME: usize = 80;

/// Stores the name of the step that a program reported last with an output line `step: NAME`.
#[derive(Debug, Default)]
pub(crate) struct StepTracker {
    line: Vec<u8>,
    last: Option<String>,
}

impl StepTracker {
    pub(crate) fn feed(&mut self, bytes: &[u8]) {
        for byte in bytes {
            if *byte == b'\n' {
                self.end_line();
            } else if self.line.len() < 4 * MAX_STEP_NAME + 16 {
                self.line.push(*byte);
            }
        }
    }

    fn end_line(&mut self) {
        let line = std::mem::take(&mut self.line);
        if let Some(name) = line.strip_prefix(b"step: ") {
            let name: String = String::from_utf8_lossy(name).chars().filter(|letter| !letter.is_control()).collect();
            let name: String = name.trim().chars().take(MAX_STEP_NAME).collect();
            if !name.is_empty() {
                self.last = Some(name);
            }
        }
    }

    /// Returns the name of the step that the program reported last; `None` if it reported no step. The last line of the
    /// output counts even if it does not end with a line break.
    pub(crate) fn finish(mut self) -> Option<String> {
        self.end_line();
        self.last
    }
}

#[derive(Debug, Default)]
pub(crate) struct LineSplitter {
    unfinished: Vec<u8>,
}

impl LineSplitter {
    /// Maximum length of a line in bytes; a longer line is split. The limit bounds the memory for output without line
    /// breaks.
    const MAX_LINE_BYTES: usize = 16 << 10;

    pub(crate) fn feed(&mut self, bytes: &[u8], lines: &mut Vec<String>) {
        for part in bytes.split_inclusive(|byte| *byte == b'\n') {
            for piece in part.chunks(Self::MAX_LINE_BYTES) {
                if self.unfinished.len() + piece.len() > Self::MAX_LINE_BYTES {
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

    /// If the output so far ends with an incomplete line, adds this line to `lines`.
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
    fn the_last_step_wins() {
        let mut steps = StepTracker::default();
        steps.feed(b"step: fetch\nstep: mig");
        steps.feed(b"rate\x1b[1m \r\n a step: no\nstep: \n");
        assert_eq!(steps.finish().as_deref(), Some("migrate[1m"));
    }

    #[test]
    fn output_is_split_into_lines_of_bounded_length() {
        let (mut splitter, mut lines) = (LineSplitter::default(), Vec::new());
        splitter.feed("one\r\n\ntw".as_bytes(), &mut lines);
        splitter.feed(b"o\xff", &mut lines);
        assert_eq!(lines, ["one", ""]);
        splitter.finish(&mut lines);
        assert_eq!(lines.last().unwrap(), "two\u{fffd}");
        lines.clear();
        splitter.feed(&vec![b'x'; 40_000], &mut lines);
        splitter.feed(b"\n", &mut lines);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [16384, 16384, 7232]);
    }
}
