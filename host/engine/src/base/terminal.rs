//! Text that a program wrote for a terminal, as lines of plain text.
//!
//! - Sequences that control a terminal are removed as a whole: colours, cursor movements, window titles, links. This
//!   includes the sequences that begin with an 8-bit control character.
//! - A line is what a terminal shows at its end: a carriage return and a backspace move back in the line, and the text
//!   after them replaces the text before. `\r\n` ends a line.
//! - Bytes that are not UTF-8 become U+FFFD.
//!
//! Invariant: a line end also ends an unfinished sequence, so a sequence hides at most the rest of its line. The memory
//! is limited, also for output without line ends. The work, and the length of the lines, are linear in the output.
//! Not here: invisible characters, which [`clean`](super::clean) removes from a line.

use std::fmt;

use vte::{Params, Parser, Perform};

/// The maximum length of a line in characters. A longer line is split.
const MAX_LINE_LENGTH: usize = 16 << 10;
/// The last column to which a cursor movement moves.
const MAX_COLUMN: usize = 1_000;
/// The number of blanks that each character or sequence adds to the credit of a program. A sequence of a few bytes can
/// fill a whole line with blanks, so it needs a credit of this length.
const CREDIT: usize = 16;
/// The greatest credit, which a program has at the start.
const MAX_CREDIT: usize = 64 << 10;
/// Ends an unfinished sequence (CAN).
const CANCEL: u8 = 0x18;
const ESCAPE: u8 = 0x1b;

/// Converts the output of a program, in chunks, to lines.
///
/// ```
/// use wardroom::base::TerminalLines;
///
/// let (mut terminal, mut lines) = (TerminalLines::default(), Vec::new());
/// terminal.push(b"\x1b[1mFetch\x1b[0m  5 %\rFetch 50 %\r", &mut lines);
/// terminal.push(b"Fetch done\r\nnext", &mut lines);
/// terminal.finish(&mut lines);
/// assert_eq!(lines, ["Fetch done", "next"]);
/// ```
#[derive(Default)]
pub struct TerminalLines {
    parser: Parser,
    screen: Screen,
    /// The bytes of an incomplete character at the end of the last chunk.
    incomplete: Vec<u8>,
}

/// The line of a terminal in which the cursor is.
struct Screen {
    line: Vec<char>,
    cursor: usize,
    done: Vec<String>,
    /// The number of blanks that sequences can still fill in, see [`CREDIT`].
    credit: usize,
    #[cfg(test)]
    spent: usize,
}

impl Default for Screen {
    fn default() -> Self {
        Self {
            line: Vec::new(),
            cursor: 0,
            done: Vec::new(),
            credit: MAX_CREDIT,
            #[cfg(test)]
            spent: 0,
        }
    }
}

impl TerminalLines {
    /// Adds a chunk of output. Appends the lines that the chunk completes to `lines`.
    pub fn push(&mut self, chunk: &[u8], lines: &mut Vec<String>) {
        let mut bytes = std::mem::take(&mut self.incomplete);
        bytes.extend_from_slice(chunk);
        let mut rest = bytes.utf8_chunks().peekable();
        while let Some(part) = rest.next() {
            self.text(part.valid());
            match part.invalid() {
                [] => {}
                cut if rest.peek().is_none() && is_incomplete(cut) => self.incomplete = cut.to_vec(),
                [control @ 0x80..=0x9f] => self.control(*control),
                _ => self.text("\u{fffd}"),
            }
        }
        lines.append(&mut self.screen.done);
    }

    /// Ends the output. If it ends with an incomplete line, appends this line to `lines`.
    pub fn finish(&mut self, lines: &mut Vec<String>) {
        if !std::mem::take(&mut self.incomplete).is_empty() {
            self.text("\u{fffd}");
        }
        self.parser.advance(&mut self.screen, &[CANCEL]);
        if !self.screen.line.is_empty() {
            self.screen.end_line();
        }
        lines.append(&mut self.screen.done);
    }

    fn text(&mut self, text: &str) {
        for part in text.split_inclusive(|letter: char| letter == '\n' || is_8_bit_control(letter)) {
            match part.chars().next_back() {
                Some('\n') => {
                    self.parser.advance(&mut self.screen, &part.as_bytes()[..part.len() - 1]);
                    self.parser.advance(&mut self.screen, &[CANCEL, b'\n']);
                }
                Some(last) if is_8_bit_control(last) => {
                    self.parser.advance(&mut self.screen, &part.as_bytes()[..part.len() - last.len_utf8()]);
                    self.control(u32::from(last) as u8);
                }
                _ => self.parser.advance(&mut self.screen, part.as_bytes()),
            }
        }
    }

    /// Handles an 8-bit control character as the two 7-bit characters with the same meaning. The parser has no
    /// 8-bit form.
    fn control(&mut self, control: u8) {
        self.parser.advance(&mut self.screen, &[ESCAPE, control - 0x40]);
    }
}

impl fmt::Debug for TerminalLines {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TerminalLines").field("line", &self.screen.line.len()).finish_non_exhaustive()
    }
}

/// Returns what a terminal shows of a text. Lines are separated by line feeds.
pub(crate) fn terminal_text(text: &str) -> String {
    let (mut terminal, mut lines) = (TerminalLines::default(), Vec::new());
    terminal.push(text.as_bytes(), &mut lines);
    terminal.finish(&mut lines);
    lines.join("\n")
}

fn is_8_bit_control(letter: char) -> bool {
    ('\u{80}'..='\u{9f}').contains(&letter)
}

/// Returns whether invalid bytes are the start of a character, which more bytes can complete.
fn is_incomplete(bytes: &[u8]) -> bool {
    std::str::from_utf8(bytes).is_err_and(|error| error.error_len().is_none())
}

impl Screen {
    fn end_line(&mut self) {
        self.done.push(self.line.drain(..).collect());
        self.cursor = 0;
    }

    fn earn(&mut self) {
        self.credit = MAX_CREDIT.min(self.credit + CREDIT);
    }

    /// Takes the credit for `blanks` blanks. Returns the number of blanks for which the credit lasts.
    fn spend(&mut self, blanks: usize) -> usize {
        let spent = blanks.min(self.credit);
        self.credit -= spent;
        #[cfg(test)]
        {
            self.spent += spent;
        }
        spent
    }

    fn erase(&mut self, mode: u16) {
        match mode {
            0 => self.line.truncate(self.cursor),
            1 => {
                let end = self.line.len().min(self.cursor + 1);
                if self.spend(end) == end {
                    self.line[..end].fill(' ');
                }
            }
            _ => self.line.clear(),
        }
    }
}

impl Perform for Screen {
    fn print(&mut self, letter: char) {
        // The parser passes DEL, which a terminal ignores, as a letter.
        if letter == '\x7f' {
            return;
        }
        self.earn();
        if self.cursor < self.line.len() {
            self.line[self.cursor] = letter;
        } else {
            // Without credit, the text is further to the left.
            self.cursor = self.line.len() + self.spend(self.cursor - self.line.len());
            self.line.resize(self.cursor, ' ');
            self.line.push(letter);
        }
        self.cursor += 1;
        if self.line.len() >= MAX_LINE_LENGTH {
            self.end_line();
        }
    }

    fn execute(&mut self, control: u8) {
        self.earn();
        match control {
            b'\n' => self.end_line(),
            b'\r' => self.cursor = 0,
            b'\t' => self.print('\t'),
            0x08 => self.cursor = self.cursor.saturating_sub(1),
            _ => {}
        }
    }

    fn csi_dispatch(&mut self, params: &Params, intermediates: &[u8], _ignore: bool, action: char) {
        self.earn();
        if !intermediates.is_empty() {
            return;
        }
        let given = params.iter().next().and_then(|values| values.first().copied()).unwrap_or_default();
        let count = usize::from(given.max(1));
        match action {
            // Erase in the line and in the display.
            'K' | 'J' => self.erase(given),
            // Move to a column, right, and left.
            'G' | '`' => self.cursor = (count - 1).min(MAX_COLUMN),
            'C' | 'a' => self.cursor = (self.cursor + count).min(MAX_COLUMN.max(self.line.len())),
            'D' => self.cursor = self.cursor.saturating_sub(count),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn lines(chunks: &[&[u8]]) -> Vec<String> {
        let (mut terminal, mut lines) = (TerminalLines::default(), Vec::new());
        chunks.iter().for_each(|chunk| terminal.push(chunk, &mut lines));
        terminal.finish(&mut lines);
        lines
    }

    #[test]
    fn sequences_are_removed_as_a_whole() {
        for (printed, shown) in [
            ("\x1b[1;31mred\x1b[0m plain", "red plain"),
            ("\x1b[38:2::255:0:0mred\x1b[m", "red"),
            ("\x1b]0;title\x07after bell", "after bell"),
            ("\x1b]0;title\x1b\\after string terminator", "after string terminator"),
            ("\x1b]8;;https://ci.example.org/7\x1b\\link\x1b]8;;\x1b\\", "link"),
            ("\x1bP1$r0m\x1b\\after dcs", "after dcs"),
            ("\x1b_apc\x1b\\\x1b^pm\x1b\\\x1bXsos\x1b\\end", "end"),
            ("\u{9b}31mred\u{9b}0m \u{9d}0;title\u{9c}end", "red end"),
            ("\u{90}dcs\u{9c}\u{9f}apc\u{9c}end", "end"),
            ("\x1b(B\x1b)0\x1b7\x1b8\x1bcend", "end"),
            ("\x1b[?25l\x1b[?1049hend\x1b[?25h", "end"),
            ("a\x07b\x0bc\0d\x7f", "abcd"),
        ] {
            assert_eq!(lines(&[printed.as_bytes()]), [shown], "{printed:?}");
        }
        assert_eq!(lines(&[b"\x9b31mred\x9b0m \x9d0;t\x9cend"]), ["red end"], "8-bit characters without UTF-8");
    }

    #[test]
    fn an_unfinished_sequence_ends_with_its_line() {
        assert_eq!(lines(&[b"a \x1b]0;title\nb \x1bPdcs\nc \x1b[3\nd \x1b"]), ["a ", "b ", "c ", "d "]);
    }

    #[test]
    fn a_line_is_what_a_terminal_shows_at_its_end() {
        for (printed, shown) in [
            ("10 %\r50 %\r100 %", "100 %"),
            ("10 %\r\x1b[K50 %\r\x1b[2Kdone\r", "done"),
            ("[....]\r[##", "[##..]"),
            ("working |\x08/\x08-\x08 \x08", "working  "),
            ("abc\x08\x08X", "aXc"),
            ("name\x1b[10G ok", "name      ok"),
            ("ab\x1b[2Ccd\x1b[3DX", "ab Xcd"),
            ("long line\r\x1b[1Kx", "xong line"),
            ("\r\r\x08first", "first"),
        ] {
            let end = if shown.is_empty() { vec![""] } else { vec![shown] };
            assert_eq!(lines(&[printed.as_bytes()]), end, "{printed:?}");
        }
        assert_eq!(lines(&[b"one\r\n\r\ntwo\n"]), ["one", "", "two"]);
    }

    #[test]
    fn the_memory_for_output_without_line_ends_is_limited() {
        let (mut terminal, mut lines) = (TerminalLines::default(), Vec::new());
        terminal.push(&vec![b'x'; 40_000], &mut lines);
        terminal.push(b"\n", &mut lines);
        assert_eq!(lines.iter().map(String::len).collect::<Vec<_>>(), [16_384, 16_384, 7_232]);
        let mut terminal = TerminalLines::default();
        for chunk in [&b"\x1b]0;"[..], &[b't'; 1_000_000], b"\x1b[9999999999C\r50 %", &[b'\r'; 1_000_000]] {
            terminal.push(chunk, &mut lines);
        }
        assert!(terminal.screen.line.len() <= MAX_LINE_LENGTH);
    }

    #[test]
    fn hostile_sequences_cost_linear_work_and_size() {
        const BYTES: usize = 1 << 20;
        let full = "x".repeat(MAX_LINE_LENGTH - 1);
        for (start, repeated) in [
            ("", "\x1b[1000Gx\n"),
            ("", "\x1b[1000Gx\r\x1b[K"),
            (&*full, "\x1b[1K"),
            (&full, "\x1b[2Kx\x08"),
            (&full, "\x1b[2K\x1b[999Cx\x08"),
            (&full, "\x08\x1b[1J"),
        ] {
            let (mut terminal, mut lines) = (TerminalLines::default(), Vec::new());
            terminal.push(start.as_bytes(), &mut lines);
            let times = BYTES / repeated.len();
            terminal.push(repeated.repeat(times).as_bytes(), &mut lines);
            terminal.finish(&mut lines);
            let size: usize = lines.iter().map(String::len).sum();
            assert!(size <= MAX_CREDIT + 8 * BYTES, "{repeated:?}: {size}");
            assert!(terminal.screen.spent <= MAX_CREDIT + 8 * BYTES, "{repeated:?}: {}", terminal.screen.spent);
        }
        // Ordinary output with movements is shown as it is.
        let bar = format!("{}\x1b[1000G\x1b[6D100 %\n", "download of a file ".repeat(4));
        let shown = lines(&[bar.repeat(1_000).as_bytes()]);
        assert!(shown.len() == 1_000 && shown.iter().all(|line| line.len() == 998), "{:?}", shown.last());
    }

    #[test]
    fn bytes_that_are_no_text_are_marked() {
        assert_eq!(lines(&[b"gr\xfcn \xe2\x82", b"\xac \xe2\x82"]), ["gr\u{fffd}n \u{20ac} \u{fffd}"]);
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn chunks_can_be_cut_anywhere(
            parts in proptest::collection::vec(prop_oneof![
                Just("\x1b[31m"), Just("\x1b]0;t\x07"), Just("\x1bPx\x1b\\"), Just("\u{9b}2K"), Just("\r"), Just("\n"),
                Just("\x08"), Just("\u{20ac}"), Just("ab"), Just("\x1b"), Just("]"), Just("\u{9c}"),
            ], 0..12),
            cut in 0_usize..100,
        ) {
            let text = parts.concat();
            let cut = cut % (text.len() + 1);
            let (first, second) = text.as_bytes().split_at(cut);
            let whole = lines(&[text.as_bytes()]);
            prop_assert_eq!(lines(&[first, second]), whole.clone());
            let letters: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
            prop_assert_eq!(lines(&letters), whole.clone());
            let is_plain = |line: &String| !line.contains(|letter: char| letter.is_control());
            prop_assert!(whole.iter().all(is_plain), "{:?}", whole);
        }
    }
}
