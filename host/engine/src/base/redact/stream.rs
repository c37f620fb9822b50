//! Redacts a stream of bytes, such as the output of a program, in which a secret can be cut over several chunks.
//!
//! Invariant: the stream holds back only bytes that can be the start of a secret, so that the other output is not
//! delayed. Its memory is limited.

use std::fmt;

use super::{MARKER, Redactor};

/// The maximum number of line ends inside of a secret that the stream still finds.
const MAX_LINE_ENDS: usize = 4 << 10;

/// Redacts a stream of chunks. Finds a secret wherever the chunks cut it.
pub struct RedactionStream {
    redactor: Redactor,
    pub(super) held: Vec<u8>,
    /// The number of bytes at the start of `held` that are written already. They are kept for the search.
    written: usize,
    /// Whether the last of the written bytes are a part of a secret whose marker is written.
    masked: bool,
}

impl fmt::Debug for RedactionStream {
    // The bytes that are held back can be a part of a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedactionStream").field("held", &self.held.len()).finish_non_exhaustive()
    }
}

impl RedactionStream {
    pub(super) fn new(redactor: Redactor) -> Self {
        Self { redactor, held: Vec::new(), written: 0, masked: false }
    }

    /// Adds a chunk. Returns the redacted bytes up to the position where a secret can begin that is not complete yet.
    pub fn push(&mut self, chunk: &[u8]) -> Vec<u8> {
        self.advance(chunk, false)
    }

    /// Ends the stream, and returns its last bytes.
    pub fn finish(&mut self) -> Vec<u8> {
        self.advance(&[], true)
    }

    fn advance(&mut self, chunk: &[u8], last: bool) -> Vec<u8> {
        let Some(patterns) = &self.redactor.0 else { return chunk.to_vec() };
        self.held.extend_from_slice(chunk);
        let found = patterns.find(&self.held);
        let earliest = self.held.len().saturating_sub(patterns.longest + MAX_LINE_ENDS);
        let end = if last { self.held.len() } else { found.write.max(earliest) };
        let mut out = Vec::with_capacity(end);
        // Everything before `done` is written.
        let mut done = self.written;
        let mut masked = self.masked && end <= done;
        for interval in found.intervals.into_iter().skip_while(|interval| interval.end <= self.written) {
            if interval.start >= end {
                break;
            }
            let begin = interval.start.max(done);
            out.extend_from_slice(&self.held[done..begin]);
            // An interval that begins before `done` can continue the secret whose marker is written.
            if interval.start >= done || !self.masked {
                out.extend_from_slice(MARKER.as_bytes());
                if self.held[begin..interval.end].contains(&b'\n') {
                    out.push(b'\n');
                }
            }
            done = interval.end;
            masked = done > end;
        }
        self.masked = masked;
        if done < end {
            out.extend_from_slice(&self.held[done..end]);
            done = end;
        }
        let drained = if last { self.held.len() } else { found.keep.max(earliest).min(done) };
        self.held.drain(..drained);
        self.written = done - drained;
        out
    }
}
