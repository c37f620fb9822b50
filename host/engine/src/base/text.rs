//! Words for a room: lines and blocks of code, plain by nature. How a network shows them is its adapter's business.
//!
//! Architecture Invariant: nothing in a [`Text`] is markup. What somebody else wrote cannot become a
//! link, a mention or a heading in the room. The host alone calls people ([`Text::push_people`]).

use serde::{Deserialize, Serialize};

use super::problem::LONGEST_WORD;

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// One line.
    Line(String),
    /// Several lines as they stand, in letters of one width.
    Code(String),
    /// People who are called, by their ids.
    People(Vec<String>),
}

/// Words for a room.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Text(Vec<Block>);

impl Text {
    /// A text of the lines of a string.
    pub fn lines(text: impl AsRef<str>) -> Self {
        let mut new = Self::default();
        new.push_lines(text);
        new
    }

    /// Adds the lines of a string.
    pub fn push_lines(&mut self, text: impl AsRef<str>) {
        self.0.extend(text.as_ref().lines().map(|line| Block::Line(clean(line))));
    }

    /// Adds lines that are shown as they stand.
    pub fn push_code(&mut self, text: impl AsRef<str>) {
        let lines: Vec<String> = text.as_ref().lines().map(clean).collect();
        self.0.push(Block::Code(lines.join("\n")));
    }

    /// Adds a line that calls people, where there are any.
    pub(crate) fn push_people(&mut self, ids: &[String]) {
        if !ids.is_empty() {
            self.0.push(Block::People(ids.iter().map(|id| clean(id)).collect()));
        }
    }

    /// Adds another text behind this one.
    pub fn append(&mut self, mut other: Self) {
        self.0.append(&mut other.0);
    }

    /// Its parts.
    pub fn blocks(&self) -> &[Block] {
        &self.0
    }

    /// Whether there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The whole as plain text, without a line end at its end.
    pub fn plain(&self) -> String {
        let parts: Vec<String> = self
            .0
            .iter()
            .map(|block| match block {
                Block::Line(line) => line.clone(),
                Block::People(ids) => ids.join(" "),
                Block::Code(code) => code.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
            })
            .collect();
        parts.join("\n")
    }

    /// A text of at most so many characters, for a message, and the whole where it did not fit: then the message has its
    /// beginning and its end, and a line between them that says how much is left out.
    pub fn excerpt(self, most: usize) -> (Self, Option<String>) {
        let whole = self.plain();
        let length = whole.chars().count();
        if length <= most {
            return (self, None);
        }
        let between = format!("[... {length} characters in all, the whole is in the file ...]");
        let left = most.saturating_sub(between.chars().count() + 2);
        let head: String = whole.chars().take(left / 2).collect();
        let tail: String = whole.chars().skip(length - (left - left / 2)).collect();
        // Whole lines where there are such.
        let head = head.rsplit_once('\n').map_or(head.as_str(), |(lines, _)| lines);
        let tail = tail.split_once('\n').map_or(tail.as_str(), |(_, lines)| lines);
        let mut text = Self::default();
        text.push_code(head);
        text.push_lines(between);
        text.push_code(tail);
        (text, Some(whole))
    }

    /// The same text, at most so many bytes of it, line ends counted, with a word that says what was cut.
    pub fn clamped(self, most: usize) -> Self {
        let mut kept = Vec::new();
        let (mut left, mut cut) = (most, 0_usize);
        for mut block in self.0 {
            let text = match &mut block {
                Block::Line(text) | Block::Code(text) => text,
                // Made by the host, and few.
                Block::People(ids) => {
                    left = left.saturating_sub(ids.iter().map(|id| id.len() + 1).sum());
                    kept.push(block);
                    continue;
                }
            };
            let whole = text.len() + 1;
            // A block with nothing but its line end costs too: half a million empty lines are half a million bytes.
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
            kept.push(Block::Line(format!("[... {cut} more bytes]")));
        }
        Self(kept)
    }
}

/// Takes out what does not show or turns the reading order: control characters, format characters such
/// as bidirectional overrides and zero-width spaces, and line separators. A tab becomes spaces.
pub fn clean(line: &str) -> String {
    let mut clean = String::with_capacity(line.len());
    for letter in line.chars() {
        match letter {
            '\t' => clean.push_str("    "),
            _ if letter.is_control() => {}
            '\u{00ad}' | '\u{061c}' | '\u{180e}' | '\u{200b}' | '\u{200c}' | '\u{200e}' | '\u{200f}' => {}
            '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{fff9}'..='\u{fffb}' => {}
            '\u{e0000}'..='\u{e007f}' => {}
            _ => clean.push(letter),
        }
    }
    clean
}

/// The name among `known` that was probably meant.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // The distance takes time with the length, and nobody means a name by a word that is a page long.
    if word.len() > LONGEST_WORD {
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
    fn what_does_not_show_is_taken_out() {
        assert_eq!(clean("a\u{202e}b\u{200b}c\x1b[2Jd\u{7}\te"), "abc[2Jd    e");
        assert_eq!(Text::lines("one\r\ntwo").plain(), "one\ntwo");
    }

    #[test]
    fn a_text_is_cut_and_says_so() {
        let text = Text::lines("0123456789\nabcdef").clamped(13);
        assert_eq!(text.plain(), "0123456789\na\n[... 5 more bytes]");
        assert_eq!(Text::lines("ab\ncd").clamped(6).plain(), "ab\ncd");
        assert_eq!(Text::lines("h\u{e9}h\u{e9}").clamped(3).plain(), "h\n[... 5 more bytes]");
    }

    #[test]
    fn empty_lines_are_cut_too() {
        let text = Text::lines(format!("ok\n{}", "\n".repeat(500_000))).clamped(8_000);
        assert!(text.blocks().len() < 8_002, "{}", text.blocks().len());
        assert!(text.plain().ends_with("more bytes]"));
    }
}
