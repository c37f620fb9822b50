//! Words for a room: lines and blocks of code, plain by nature. How a network shows them is its adapter's business.
//!
//! Architecture Invariant: nothing in a [`Text`] is markup. What somebody else wrote cannot become a
//! link, a mention or a heading in the room.

use serde::{Deserialize, Serialize};

/// A part of a text.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Block {
    /// One line.
    Line(String),
    /// Several lines as they stand, in letters of one width.
    Code(String),
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
                Block::Code(code) => code.lines().map(|line| format!("    {line}")).collect::<Vec<_>>().join("\n"),
            })
            .collect();
        parts.join("\n")
    }

    /// The same text, at most so many bytes of it, with a word that says what was cut.
    pub fn clamped(mut self, most: usize) -> Self {
        let mut left = most;
        let mut cut = 0_usize;
        for block in &mut self.0 {
            let (Block::Line(text) | Block::Code(text)) = block;
            let keep = text.floor_char_boundary(left.min(text.len()));
            cut += text.len() - keep;
            text.truncate(keep);
            left = left.saturating_sub(keep + 1);
        }
        if cut > 0 {
            self.0.retain(|block| match block {
                Block::Line(text) | Block::Code(text) => !text.is_empty(),
            });
            self.0.push(Block::Line(format!("[... {cut} more bytes]")));
        }
        self
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
