//! Follows the output of a run while it grows.
//!
//! Architecture Invariant: one call takes bounded time and memory, whatever the output's rate. A program with endless output
//! does not delay the detection of its end.
//! Not here: the last bytes of the output (`output::tail`).

use std::io;

use crate::{folder::RunFolder, lines::LineSplitter, output};

/// How much existing output is shown at the start, and from where following continues after it fell behind.
const BACKLOG: u64 = 64 << 10;
/// The most bytes that one call returns; beyond it the call skips ahead to [`BACKLOG`] before the end. Empty lines take about
/// fifty times as much memory as their bytes.
const MAX_BYTES: u64 = 256 << 10;

/// Follows the output of one run.
pub(crate) struct OutputFollower {
    folder: RunFolder,
    /// The offset of the next byte; `None` before the first call.
    next: Option<u64>,
    /// Skipped bytes that no line has reported yet.
    skipped: u64,
    splitter: LineSplitter,
}

impl OutputFollower {
    pub(crate) fn new(folder: RunFolder) -> Self {
        Self { folder, next: None, skipped: 0, splitter: LineSplitter::default() }
    }

    /// The new lines. With `ended`, also a last line without a line end. Unreadable output is left out.
    pub(crate) fn read(&mut self, ended: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(error) = self.read_new(&mut lines) {
            tracing::debug!(folder = %self.folder.path().display(), %error, "cannot read the output of a run");
        }
        if ended {
            self.splitter.finish(&mut lines);
        }
        lines
    }

    /// Reads up to the present length of the output. What the program writes meanwhile is left to the next call.
    fn read_new(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let folder = self.folder.path();
        let length = output::length(folder)?;
        let backlog = length.saturating_sub(BACKLOG);
        // Where to begin. Behind skipped output the first line is incomplete and is dropped.
        let (mut next, mut drop_first_line) = match self.next {
            None => (backlog, backlog > 0),
            Some(next) if length.saturating_sub(next) > MAX_BYTES => {
                self.skipped += backlog - next;
                (backlog, true)
            }
            Some(next) => (next, self.skipped > 0),
        };
        self.next = Some(next);
        while next < length {
            let part = output::part(folder, next, length - next)?;
            if part.bytes.is_empty() {
                break;
            }
            let first_line = part.bytes.iter().position(|byte| *byte == b'\n').map_or(0, |end| end + 1);
            let dropped = if drop_first_line { first_line } else { 0 };
            // A line stands for the bytes that are missing here.
            if self.skipped > 0 {
                let skipped = std::mem::take(&mut self.skipped) + part.missing + dropped as u64;
                self.splitter.finish(lines);
                lines.push(format!("[... {skipped} bytes of output came too fast and are not shown here]"));
            } else if part.missing > 0 && !drop_first_line {
                self.splitter.finish(lines);
                lines.push(output::missing_line(part.missing));
            }
            self.splitter.feed(&part.bytes[dropped..], lines);
            drop_first_line = false;
            next = part.next;
            self.next = Some(next);
        }
        Ok(())
    }
}
