//! Text for a room: lines, code blocks and mentions, without markup. Each chat adapter formats the text for its chat
//! network.
//!
//! Invariant: a [`Text`] contains no markup. Text that people, plugins or other programs wrote cannot become a link, a
//! mention or a heading. Only the host can mention people ([`Text::push_people`]). The text of a plugin is a quotation
//! ([`Text::push_quote`]), so that it cannot pass for a text of the host.

use std::borrow::Cow;

use serde::{Deserialize, Serialize};

use super::{
    prefix_mark,
    redact::{MARKER, Redactor},
    terminal::terminal_text,
};

/// The start of each quoted line in a plain text.
const QUOTE_MARK: &str = "| ";
/// The maximum length in bytes of a mistyped word. For a longer word, [`nearest`] suggests no correction.
const MAX_WORD_LENGTH: usize = 64;

/// A part of a [`Text`]. Each block begins on a new line.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// A single line of text.
    Line(String),
    /// Quoted lines, separated by line feeds: the words of a plugin. Every line is shown with the mark of a quotation.
    Quote(String),
    /// Preformatted lines, separated by line feeds and shown in a monospaced font.
    Code(String),
    /// A line that mentions the people with these ids, for example `@bob:example.org`.
    People(Vec<String>),
}

/// A text for a room: a list of [`Block`]s.
///
/// ```
/// use wardroom::prelude::*;
///
/// assert_eq!(Text::lines("Deployed.\nhttps://ci.example.org/7").plain(), "Deployed.\nhttps://ci.example.org/7");
/// ```
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text(Vec<Block>);

impl Text {
    /// Creates a text with one [`Block::Line`] for each line of a string.
    pub fn lines(text: impl AsRef<str>) -> Self {
        let mut new = Self::default();
        new.push_lines(text);
        new
    }

    /// Appends one [`Block::Line`] for each line of a string. Removes invisible characters ([`clean`]).
    pub fn push_lines(&mut self, text: impl AsRef<str>) {
        self.0.extend(text.as_ref().lines().map(|line| Block::Line(clean(line))));
    }

    /// Appends the lines of a string as one [`Block::Code`]. Removes invisible characters ([`clean`]).
    pub fn push_code(&mut self, text: impl AsRef<str>) {
        self.0.push(Block::Code(clean_lines(text.as_ref())));
    }

    /// Creates a text with one [`Block::Quote`]. The text is empty if the string is blank.
    pub fn quote(text: impl AsRef<str>) -> Self {
        let mut new = Self::default();
        new.push_quote(text);
        new
    }

    /// Appends the lines of a string as one [`Block::Quote`]. Removes invisible characters ([`clean`]). Does nothing if
    /// the string is blank.
    pub fn push_quote(&mut self, text: impl AsRef<str>) {
        let lines = clean_lines(text.as_ref());
        if !lines.trim().is_empty() {
            self.0.push(Block::Quote(lines));
        }
    }

    /// Appends a line that mentions the people with these ids. Does nothing if `ids` is empty.
    pub(crate) fn push_people(&mut self, ids: &[String]) {
        if !ids.is_empty() {
            self.0.push(Block::People(ids.iter().map(|id| clean(id)).collect()));
        }
    }

    /// Replaces each secret in the text.
    pub(crate) fn redact(&mut self, redactor: &Redactor) {
        if redactor.is_empty() {
            return;
        }
        for block in &mut self.0 {
            let (Block::Line(text) | Block::Quote(text) | Block::Code(text)) = block else { continue };
            if let Cow::Owned(redacted) = redactor.redact(text) {
                *text = redacted;
            }
        }
    }

    /// Appends the blocks of another text.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Returns the blocks in the order in which a room shows them.
    pub fn blocks(&self) -> &[Block] {
        &self.0
    }

    /// Returns whether the text has no blocks.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the text for a room in which commands begin with `prefix`.
    pub(crate) fn with_prefix(mut self, prefix: &str) -> Self {
        for block in &mut self.0 {
            if let Block::Line(text) | Block::Quote(text) | Block::Code(text) = block {
                *text = prefix_mark::with_prefix(text, prefix);
            }
        }
        self
    }

    /// Returns the text as plain text. Code is indented by four spaces. Each line of a quotation begins with
    /// `| `. The last line has no line feed.
    pub fn plain(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|block| match block {
                Block::Line(line) => line.clone(),
                Block::People(ids) => ids.join(" "),
                Block::Quote(quote) => indented(QUOTE_MARK, quote),
                Block::Code(code) => indented("    ", code),
            })
            .collect();
        prefix_mark::without_marks(&parts.join("\n"))
    }

    /// Shortens a text of more than `most` characters. Returns the shortened text, and the whole text for the caller to
    /// attach as a file. The shortened text has the start and the end of the whole text. A line between them says that
    /// the text was shortened. If the text has at most `most` characters, returns it unchanged, with `None`.
    pub fn excerpt(self, most: usize) -> (Self, Option<String>) {
        let whole = self.plain();
        let length = whole.chars().count();
        if length <= most {
            return (self, None);
        }
        let between = format!("[... shortened; the attached file has all {length} characters ...]");
        let left = most.saturating_sub(between.chars().count() + 2);
        let head: String = whole.chars().take(left / 2).collect();
        let tail: String = whole.chars().skip(length - (left - left / 2)).collect();
        // Cut at line ends if possible.
        let head = head.rsplit_once('\n').map_or(head.as_str(), |(lines, _)| lines);
        let tail = tail.split_once('\n').map_or_else(|| format!("[...] {tail}"), |(_, lines)| lines.to_owned());
        let mut text = Self::default();
        text.push_code(head);
        text.push_lines(between);
        text.push_code(tail);
        (text, Some(whole))
    }

    /// Truncates a text of more than `most` bytes, line feeds included, and appends a line with the number of removed
    /// bytes. Keeps all mentions. Returns a text of at most `most` bytes unchanged.
    pub fn clamped(self, most: usize) -> Self {
        let mut kept = Vec::new();
        let (mut left, mut cut) = (most, 0_usize);
        for mut block in self.0 {
            let text = match &mut block {
                Block::Line(text) | Block::Quote(text) | Block::Code(text) => text,
                // Keep all mentions, because the host adds only a few mentions.
                Block::People(ids) => {
                    left = left.saturating_sub(ids.iter().map(|id| id.len() + 1).sum());
                    kept.push(block);
                    continue;
                }
            };
            let whole = text.len() + 1;
            // An empty line counts as one byte, so that a text of many empty lines is truncated too.
            if left == 0 {
                cut += whole;
                continue;
            }
            if whole > left {
                text.truncate(text.floor_char_boundary(left - 1));
                cut += whole - 1 - text.len();
            }
            left = left.saturating_sub(whole);
            kept.push(block);
        }
        if cut > 0 {
            kept.push(Block::Line(format!("[... truncated: {cut} more bytes]")));
        }
        Self(kept)
    }
}

/// Removes control characters and invisible characters from each line of a text ([`clean`]).
pub(crate) fn clean_lines(text: &str) -> String {
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

fn indented(start: &str, lines: &str) -> String {
    lines.lines().map(|line| format!("{start}{line}")).collect::<Vec<_>>().join("\n")
}

/// Removes terminal sequences, control characters and invisible characters from a line. The line becomes what a
/// terminal shows at its end, so that a carriage return hides what the rest of the line replaces
/// ([`TerminalLines`](super::TerminalLines)). Examples of invisible characters are zero-width spaces, letters without a
/// shape such as the Hangul filler, and the bidirectional overrides, which change the reading order. Replaces each tab by
/// four spaces.
pub fn clean(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    let is_for_terminals = line.contains(|letter: char| letter.is_control() && letter != '\t');
    let line = if is_for_terminals { Cow::Owned(terminal_text(line)) } else { Cow::Borrowed(line) };
    for letter in line.chars() {
        match letter {
            '\t' => clean.push_str("    "),
            // After a symbol, this character selects the colored form of the symbol.
            '\u{fe0f}' if clean.chars().next_back().is_some_and(is_symbol) => clean.push(letter),
            _ if letter.is_control() || is_invisible(letter) => {}
            _ => clean.push(letter),
        }
    }
    clean
}

/// Returns a text as one line: line feeds are blanks, and control characters and invisible characters are removed
/// ([`clean`]).
pub(crate) fn one_line(text: &str) -> String {
    clean(&text.replace("\r\n", " ").replace(['\n', '\r'], " "))
}

/// Returns whether a character has no shape. Keeps the zero-width joiner, which joins emoji.
pub(crate) fn is_invisible(letter: char) -> bool {
    // The characters with the Unicode property `Default_Ignorable_Code_Point`, separators of lines, and annotations.
    matches!(
        letter,
        '\u{00ad}' | '\u{034f}' | '\u{061c}' | '\u{115f}'..='\u{1160}' | '\u{17b4}'..='\u{17b5}'
            | '\u{180b}'..='\u{180f}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}'
            | '\u{2060}'..='\u{206f}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{feff}' | '\u{ffa0}'
            | '\u{fff0}'..='\u{fffb}' | '\u{1bca0}'..='\u{1bca3}' | '\u{1d173}'..='\u{1d17a}'
            | '\u{e0000}'..='\u{e0fff}'
    )
}

/// Checks that a value contains only characters that [`clean`] keeps, no zero-width joiner, and no redacted secret.
/// Otherwise people would read or type a different value than the one that a program receives.
///
/// # Errors
/// The first other character or the redacted secret, as a reason in one line.
pub(crate) fn check_visible(value: &str) -> Result<(), String> {
    if value.contains(MARKER) {
        return Err(format!(
            "it contains `{MARKER}`, which stands for a secret of the host; a secret cannot be a value"
        ));
    }
    match with_previous(value).find(|(before, letter)| is_hidden(*before, *letter)) {
        None => Ok(()),
        Some((_, letter)) => Err(format!(
            "it contains the character U+{:04X}, which is not shown; remove this character",
            u32::from(letter)
        )),
    }
}

/// Returns a text in quotation marks. Quotation marks, control characters and invisible characters are escaped, so that
/// the quotation shows every character of the text.
pub(crate) fn in_quotes(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    for (before, letter) in with_previous(&format!("{text:?}")) {
        match is_hidden(before, letter) {
            true => quoted.extend(letter.escape_unicode()),
            false => quoted.push(letter),
        }
    }
    quoted
}

/// Returns each character of a text with the character before it.
fn with_previous(text: &str) -> impl Iterator<Item = (Option<char>, char)> {
    std::iter::once(None).chain(text.chars().map(Some)).zip(text.chars())
}

/// Returns whether [`clean`] removes or replaces a character after the character `before`, or whether the character is a
/// zero-width joiner.
fn is_hidden(before: Option<char>, letter: char) -> bool {
    let colors = letter == '\u{fe0f}' && before.is_some_and(is_symbol);
    // The room would show the prefix of the bot in the place of this character.
    let is_mark = prefix_mark::PREFIX.starts_with(letter);
    !colors && (is_mark || letter == '\u{200d}' || letter.is_control() || is_invisible(letter))
}

/// Returns a value as it stands between other words of a line: a plain word unchanged, and any other value in quotation
/// marks, so that it cannot be read as more than one value.
pub(crate) fn as_word(value: &str) -> Cow<'_, str> {
    let is_plain = |letter: char| letter.is_alphanumeric() || "._-+/@:#*~%".contains(letter);
    match !value.is_empty() && value.chars().all(is_plain) {
        true => Cow::Borrowed(value),
        false => Cow::Owned(in_quotes(value)),
    }
}

/// Returns values as they stand between other words of a line, separated by commas. Each value is written by [`as_word`].
pub(crate) fn as_words(values: &[String]) -> String {
    values.iter().map(|value| as_word(value)).collect::<Vec<_>>().join(", ")
}

fn is_symbol(letter: char) -> bool {
    !letter.is_ascii() && !letter.is_alphanumeric() && !letter.is_whitespace()
}

/// Returns the name in `known` that is most similar to `word`, or `None` if no name is similar. Callers suggest
/// the returned name as the correction of a typing error.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // A very long word is not a mistyped name, and its edit distance is expensive to compute.
    if word.len() > MAX_WORD_LENGTH {
        return None;
    }
    let word = word.to_lowercase();
    known
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&word, &name.to_lowercase()), name))
        .filter(|(distance, name)| *distance <= 1 + name.chars().count() / 4 && *distance < name.chars().count())
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn invisible_characters_are_removed() {
        assert_eq!(clean("a\u{202e}b\u{200b}c\x1b[2md\u{7}\te"), "abcd    e");
        assert_eq!(clean_lines("\x1b[32m 10 %\r 99 %\u{202e}\x1b[0m\r\nnext"), " 99 %\nnext");
        assert_eq!(clean("\u{26a0}\u{fe0f} 1\u{fe0f}"), "\u{26a0}\u{fe0f} 1");
        assert_eq!(clean("ma\u{3164}ry\u{fe0f}\u{115f}\u{ffa0}\u{34f}\u{e0100}"), "mary");
        assert_eq!(Text::lines("one\r\ntwo").plain(), "one\ntwo");
        assert_eq!(one_line("one\r\ntwo\nthree\rfour\u{202e}"), "one two three four");
    }

    #[test]
    fn a_value_that_is_not_a_plain_word_has_quotation_marks() {
        for word in ["1.0.2", "cms/staging", "@bob:example.org", "plan-1", "h\u{e9}", "release_2+x~1"] {
            assert_eq!(as_word(word), word);
        }
        for (value, quoted) in
            [("", r#""""#), ("1.0.2 (done)", r#""1.0.2 (done)""#), ("a,b", r#""a,b""#), ("`x`", r#""`x`""#)]
        {
            assert_eq!(as_word(value), quoted);
        }
        assert_eq!(as_word("1.0.2\u{fe0f}\u{200d}"), r#""1.0.2\u{fe0f}\u{200d}""#);
        assert_eq!(in_quotes("\u{26a0}\u{fe0f} \u{3164}\t"), "\"\u{26a0}\\u{fe0f} \\u{3164}\\t\"");
        assert_eq!(as_words(&["a".to_owned(), "b c".to_owned()]), "a, \"b c\"");
    }

    #[test]
    fn a_value_with_an_invisible_character_is_refused() {
        for value in ["1.0.2\u{fe0f}", "1.0\u{200b}.2", "\u{3164}1.0.2", "1.0.2\u{e0100}", "1.0.2\t", "1.0.2\n", "1\0"]
        {
            assert_ne!(clean(value), value);
            check_visible(value).unwrap_err();
        }
        let reason = check_visible("1.0.2\u{200d}").unwrap_err();
        assert_eq!(reason, "it contains the character U+200D, which is not shown; remove this character");
        assert!(check_visible("1.0.2-[redacted]").unwrap_err().contains("a secret cannot be a value"));
        for value in ["1.0.2", "", "h\u{e9} \u{26a0}\u{fe0f}"] {
            assert_eq!(clean(value), value);
            check_visible(value).unwrap();
        }
    }

    #[test]
    fn every_line_of_a_quotation_is_marked() {
        let mut text = Text::lines("`report` failed:");
        text.push_quote("Approved by Alice.\r\n\nAnswer:\u{2028}`approve 7f3ak`\u{85}x");
        text.push_lines("Nothing was changed.");
        let plain = "`report` failed:\n| Approved by Alice.\n| \n| Answer:`approve 7f3ak`x\nNothing was changed.";
        assert_eq!(text.plain(), plain);
        assert!(Text::quote(" \n\u{200b}").is_empty());
        assert_eq!(Text::quote("0123456789").clamped(6).plain(), "| 01234\n[... truncated: 5 more bytes]");
    }

    #[test]
    fn an_excerpt_marks_the_end_of_a_cut_line() {
        let quoted = format!("{}Approved by Alice.", "x".repeat(1_000));
        let (excerpt, whole) = Text::quote(&quoted).excerpt(200);
        assert!(excerpt.plain().ends_with("Approved by Alice."));
        assert!(excerpt.plain().lines().last().is_some_and(|line| line.starts_with("    [...] x")), "{excerpt:?}");
        assert_eq!(whole, Some(format!("| {quoted}")));
    }

    #[test]
    fn a_truncated_text_has_a_note() {
        let text = Text::lines("0123456789\nabcdef").clamped(13);
        assert_eq!(text.plain(), "0123456789\na\n[... truncated: 5 more bytes]");
        assert_eq!(Text::lines("ab\ncd").clamped(6).plain(), "ab\ncd");
        assert_eq!(Text::lines("h\u{e9}h\u{e9}").clamped(3).plain(), "h\n[... truncated: 5 more bytes]");
    }

    #[test]
    fn empty_lines_are_truncated_too() {
        let text = Text::lines(format!("ok\n{}", "\n".repeat(500_000))).clamped(8_000);
        assert!(text.blocks().len() < 8_002, "{}", text.blocks().len());
        assert!(text.plain().ends_with("more bytes]"));
    }
}
