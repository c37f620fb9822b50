//! Reads the new lines of a pipeline run's output, for a caller that waits for the end of the run.
//!
//! Invariant: one call takes limited time and memory, even if the program prints very fast. A large output therefore
//! does not delay the detection of the run's end.
//! Not here: reading the last bytes of the output (`output.rs`).

use std::io;

use wardroom::base::TerminalLines;

use crate::{folder::RunFolder, output};

/// Maximum number of bytes that the first read returns from the end of the existing output. A later read that finds
/// more than [`MAX_BYTES`] new bytes also returns at most this number of bytes from the end of the output.
const BACKLOG: u64 = 64 << 10;
/// Maximum number of new bytes of output that one call reads. If more bytes are new, the call reads only the last
/// [`BACKLOG`] bytes. The number is limited, because bytes that are split into short lines can take fifty times as much
/// memory.
const MAX_BYTES: u64 = 256 << 10;

pub(crate) struct OutputFollower {
    folder: RunFolder,
    /// The offset in the output at which the next read begins; `None` before the first read.
    next: Option<u64>,
    /// Number of skipped bytes of output that were not reported to the caller yet. The next read returns a line with
    /// this number.
    skipped: u64,
    terminal: TerminalLines,
}

impl OutputFollower {
    pub(crate) fn new(folder: RunFolder) -> Self {
        Self { folder, next: None, skipped: 0, terminal: TerminalLines::default() }
    }

    /// Returns the lines of output that were completed since the last call. If `ended` is true, also returns an
    /// incomplete last line. If the output cannot be read, returns only the lines that were read before the error.
    pub(crate) fn read(&mut self, ended: bool) -> Vec<String> {
        let mut lines = Vec::new();
        if let Err(error) = self.read_new(&mut lines) {
            tracing::debug!(path = %self.folder.path().display(), %error, "cannot read the output of a pipeline run");
        }
        if ended {
            self.terminal.finish(&mut lines);
        }
        lines
    }

    /// Reads the output up to its length at the time of the call, and adds the complete lines to `lines`. If output was
    /// skipped or removed, adds a line with the number of missing bytes.
    fn read_new(&mut self, lines: &mut Vec<String>) -> io::Result<()> {
        let folder = self.folder.path();
        let length = output::length(folder)?;
        let backlog = length.saturating_sub(BACKLOG);
        // Choose where to begin. After skipped output, the first line is incomplete and is dropped.
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
            // Add a line with the number of missing bytes.
            if self.skipped > 0 {
                let skipped = std::mem::take(&mut self.skipped) + part.missing + dropped as u64;
                self.terminal.finish(lines);
                lines.push(format!("[... {skipped} bytes of output were skipped because the output grew too fast]"));
            } else if part.missing > 0 && !drop_first_line {
                self.terminal.finish(lines);
                lines.push(output::missing_line(part.missing));
            }
            self.terminal.push(&part.bytes[dropped..], lines);
            drop_first_line = false;
            next = part.next;
            self.next = Some(next);
        }
        Ok(())
    }
}
