//! Follows the output of a run while it grows, for whoever waits for its end.
//!
//! Architecture Invariant: one look takes a bounded time and amount of memory, however fast the run
//! speaks. A program without an end to its words must not keep the end of its run from being seen.
//! Not here: the tail of the output, which is not followed (`output`).

use std::io;

use crate::{convert::Lines, folder::RunFolder, output};

/// How far back it begins with output that was there before, and where it goes on when it fell behind.
const BACKLOG: u64 = 64 << 10;
/// The most that one look gives; a run that says more between two looks is passed over up to [`BACKLOG`].
/// Lines may be empty, and then take fifty times as much memory.
const MOST: u64 = 256 << 10;

/// Follows the output of one run.
pub(crate) struct Reader {
    folder: RunFolder,
    next: Option<u64>,
    /// How many bytes were passed over and not told of yet.
    passed: u64,
    lines: Lines,
}

impl Reader {
    pub(crate) fn new(folder: RunFolder) -> Self {
        Self { folder, next: None, passed: 0, lines: Lines::default() }
    }

    /// The new lines; with the unfinished last one where the run is over. What cannot be read is left out.
    pub(crate) fn read(&mut self, over: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(error) = self.look(&mut lines) {
            tracing::debug!(folder = %self.folder.path().display(), %error, "cannot read the output of a run");
        }
        if over {
            self.lines.finish(&mut lines);
        }
        lines
    }

    /// Reads up to the length that the output has now; what is said meanwhile is the next look's.
    fn look(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let folder = self.folder.path();
        let length = output::length(folder)?;
        let backlog = length.saturating_sub(BACKLOG);
        // The first line is cut in its middle where what is before it is left out.
        let (mut next, mut cut) = match self.next {
            None => (backlog, backlog > 0),
            Some(next) if length.saturating_sub(next) > MOST => {
                self.passed += backlog - next;
                (backlog, true)
            }
            Some(next) => (next, self.passed > 0),
        };
        self.next = Some(next);
        while next < length {
            let part = output::part(folder, next, length - next)?;
            if part.bytes.is_empty() {
                break;
            }
            let end = part.bytes.iter().position(|byte| *byte == b'\n').filter(|_| cut).map_or(0, |end| end + 1);
            if self.passed > 0 {
                let passed = std::mem::take(&mut self.passed) + part.gone + end as u64;
                self.lines.finish(lines);
                lines.push(format!("[... {passed} bytes of output came too fast and are not shown here]"));
            } else if part.gone > 0 && !cut {
                self.lines.finish(lines);
                lines.push(output::gone_line(part.gone));
            }
            self.lines.feed(&part.bytes[end..], lines);
            cut = false;
            next = part.next;
            self.next = Some(next);
        }
        Ok(())
    }
}
