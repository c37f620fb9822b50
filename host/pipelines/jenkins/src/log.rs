//! The console output of a build: new lines for those who wait, and its last bytes.
//!
//! Not here: the request and its limits (`client/log_chunk`).

use wardroom::base::TerminalLines;
use wardroom_remote::{LogPart, RemoteError};

use crate::{
    client::{Client, LogChunk},
    job_path::JobPath,
};

/// The maximum number of bytes of new output that one read passes on. Earlier output is left out.
const MAX_NEW: usize = 64 << 10;
/// The maximum number of parts that are read to find the end of the output of a build that runs.
const MAX_PARTS: usize = 20;
/// How much more than the requested bytes is read, because console notes are removed from the text.
const NOTES: u64 = 16 << 10;
/// The maximum number of bytes of a tail.
const MAX_TAIL: usize = 4 << 20;

/// Reads the new output of one build.
#[derive(Default)]
pub(crate) struct LogFollower {
    turns: u64,
    offset: u64,
    terminal: TerminalLines,
}

impl LogFollower {
    /// Counts a turn, and returns whether it is one for the stages.
    pub(crate) fn is_turn_of_stages(&mut self) -> bool {
        self.turns += 1;
        self.turns % 2 == 1
    }

    /// Returns the lines that were completed since the last read.
    pub(crate) async fn read(&mut self, client: &Client, job: &JobPath, number: u64) -> Result<LogPart, RemoteError> {
        let chunk = client.log(job, number, self.offset, MAX_NEW).await?;
        Ok(LogPart { lines: self.add(&chunk), has_more: chunk.has_more })
    }

    /// Returns the incomplete last line.
    pub(crate) fn finish(&mut self) -> Vec<String> {
        let mut lines = Vec::new();
        self.terminal.finish(&mut lines);
        lines
    }

    fn add(&mut self, chunk: &LogChunk) -> Vec<String> {
        let mut lines = Vec::new();
        let mut bytes = chunk.bytes.as_slice();
        if chunk.next < self.offset {
            self.terminal.finish(&mut lines);
            lines.push("[... the output in Jenkins was replaced by a shorter one]".to_owned());
        } else if chunk.is_cut {
            self.terminal.finish(&mut lines);
            lines.push("[... output was left out because there was too much]".to_owned());
            // The first line is incomplete.
            bytes = bytes.iter().position(|byte| *byte == b'\n').map_or(&[], |end| &bytes[end + 1..]);
        }
        self.terminal.push(bytes, &mut lines);
        self.offset = chunk.next;
        lines
    }
}

/// Returns the last `bytes` bytes of the output of a build.
pub(crate) async fn tail(client: &Client, job: &JobPath, number: u64, bytes: usize) -> Result<String, RemoteError> {
    let bytes = bytes.min(MAX_TAIL);
    // 1. Find the end. A build that runs returns a limited number of lines from each offset.
    let mut end = client.log(job, number, 0, 0).await?.next;
    for _ in 1..MAX_PARTS {
        let next = client.log(job, number, end, 0).await?.next;
        if next <= end {
            break;
        }
        end = next;
    }
    // 2. Read the part before it. The text is shorter than the file, because console notes are not in it.
    let start = end.saturating_sub(2 * bytes as u64 + NOTES);
    let chunk = client.log(job, number, start, bytes.saturating_add(1)).await?;
    let mut text = chunk.bytes.as_slice();
    if (start > 0 || chunk.is_cut) && text.len() <= bytes {
        // The part can begin within a line or a console note.
        text = text.iter().position(|byte| *byte == b'\n').map_or(&[], |line| &text[line + 1..]);
    }
    let text = &text[text.len().saturating_sub(bytes)..];
    let partial = if text.len() < chunk.bytes.len() {
        text.iter().take(3).take_while(|byte| **byte & 0xC0 == 0x80).count()
    } else {
        0
    };
    let text = String::from_utf8_lossy(&text[partial..]);
    // A replacement character is longer than the byte that it replaces.
    Ok(text[text.ceil_char_boundary(text.len().saturating_sub(bytes))..].to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chunk(text: &[u8], next: u64) -> LogChunk {
        LogChunk { bytes: text.to_vec(), is_cut: false, next, has_more: true }
    }

    #[test]
    fn a_character_over_the_edge_of_a_chunk_is_whole() {
        let mut follower = LogFollower::default();
        assert_eq!(follower.add(&chunk(b"gr\xc3", 3)), [""; 0]);
        assert_eq!(follower.add(&chunk(b"\xbcn\r\nnext", 9)), ["gr\u{fc}n"]);
        assert_eq!((follower.offset, follower.add(&chunk(b"\n", 10))), (9, vec!["next".to_owned()]));
    }

    #[test]
    fn output_that_shrank_is_read_from_its_beginning() {
        let mut follower = LogFollower::default();
        follower.add(&chunk(b"one\ntwo", 7));
        let lines = follower.add(&chunk(b"new\n", 4));
        assert_eq!(lines, ["two", "[... the output in Jenkins was replaced by a shorter one]", "new"]);
        assert_eq!(follower.offset, 4);
    }

    #[test]
    fn left_out_output_is_named() {
        let mut follower = LogFollower::default();
        let cut = LogChunk { is_cut: true, ..chunk(b"rest of a line\nwhole\n", 1_000_000) };
        assert_eq!(follower.add(&cut), ["[... output was left out because there was too much]", "whole"]);
    }
}
