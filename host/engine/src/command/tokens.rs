//! Splits a typed line into words. Replaces the typographic characters of chat clients, and keeps quoted words
//! together.
//!
//! Two rules keep every typed character: `#` is an ordinary character, and a backslash is one too, unless it is directly
//! before a quotation mark outside single quotes. The quotation mark is then an ordinary character.

use std::borrow::Cow;

use crate::base::is_invisible;

const LONG_DASH: char = '\u{2014}';

/// A word of a typed line, without its quotation marks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    /// The position in the line at which the word begins, in bytes.
    pub(crate) start: usize,
    /// Whether the word begins with a long dash, which some clients write for the two dashes of a flag.
    pub(crate) has_long_dash: bool,
}

impl Word {
    fn new(start: usize, first: char) -> Self {
        Self { text: String::new(), start, has_long_dash: first == LONG_DASH }
    }
}

/// The words of a typed line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Words {
    pub(crate) closed: Vec<Word>,
    /// The last word, if one of its quotation marks is not closed. The word goes to the end of the line.
    pub(crate) open: Option<Word>,
}

impl Words {
    /// Splits a line into words.
    pub(crate) fn of(line: &str) -> Self {
        let mut words = Self { closed: Vec::new(), open: None };
        let mut word: Option<Word> = None;
        let mut quote = None;
        let mut letters = line.char_indices().peekable();
        while let Some((at, letter)) = letters.next() {
            let is_blank = folded(letter).eq([' ']);
            if quote.is_none() && is_blank {
                words.closed.extend(word.take());
                continue;
            }
            // Between quotation marks, the zero-width joiner keeps an emoji together.
            if folded(letter).next().is_none() && (quote.is_none() || letter != '\u{200d}') {
                continue;
            }
            let text = &mut word.get_or_insert_with(|| Word::new(at, letter)).text;
            match (quote, quotation_mark(letter)) {
                (Some(open), Some(mark)) if mark == open => quote = None,
                (None, Some(mark)) => quote = Some(mark),
                (None | Some('"'), None) if letter == '\\' => {
                    let escaped = letters.next_if(|(_, next)| quotation_mark(*next).is_some());
                    text.push(escaped.map_or('\\', |(_, mark)| mark));
                }
                // Between quotation marks, dashes and the other quotation marks stay as typed.
                (Some(_), _) if !is_blank => text.push(letter),
                _ => text.extend(folded(letter)),
            }
        }
        match quote {
            Some(_) => words.open = word,
            None => words.closed.extend(word),
        }
        words
    }

    /// Returns all words, also the word whose quotation mark is not closed.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Word> {
        self.closed.iter().chain(&self.open)
    }

    /// Returns the texts of the words before an unclosed quotation mark.
    pub(crate) fn texts(&self) -> Vec<String> {
        self.closed.iter().map(|word| word.text.clone()).collect()
    }
}

/// Splits a line into words. Returns `None` if a quotation mark is not closed.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    let words = Words::of(text);
    words.open.is_none().then(|| words.texts())
}

/// Returns the characters for which a character that a chat client inserted stands: ASCII characters for smart quotes,
/// dashes and special spaces; nothing for an invisible character, so that no name contains one.
fn folded(letter: char) -> impl Iterator<Item = char> {
    let (first, second) = match letter {
        '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{00ab}' | '\u{00bb}' => (Some('"'), None),
        '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => (Some('\''), None),
        // Some clients replace the two dashes of a flag by one long dash.
        LONG_DASH => (Some('-'), Some('-')),
        '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2212}' => (Some('-'), None),
        '\u{00a0}' | '\u{2007}' | '\u{202f}' | '\u{3000}' | '\u{2000}'..='\u{200a}' => (Some(' '), None),
        '\n' | '\r' | '\t' => (Some(' '), None),
        // A symbol keeps its colored form.
        '\u{fe0f}' => (Some(letter), None),
        '\u{200d}' => (None, None),
        _ if letter.is_control() || is_invisible(letter) => (None, None),
        _ => (Some(letter), None),
    };
    first.into_iter().chain(second)
}

/// Returns the ASCII form of a quotation mark; `None` for another character.
fn quotation_mark(letter: char) -> Option<char> {
    folded(letter).find(|mark| matches!(mark, '\'' | '"'))
}

/// Returns `word` as a person must type it in a command line. Adds quotation marks if the parser would otherwise not
/// read the word as one argument.
pub(crate) fn quoted(word: &str) -> Cow<'_, str> {
    let is_special = |letter: char| letter == ' ' || quotation_mark(letter).is_some() || folded(letter).ne([letter]);
    let has = |mark: char| word.chars().any(|letter| quotation_mark(letter) == Some(mark));
    if !word.is_empty() && !word.contains(is_special) {
        return Cow::Borrowed(word);
    }
    if !has('\'') {
        return Cow::Owned(format!("'{word}'"));
    }
    if !has('"') && !word.contains('\\') {
        return Cow::Owned(format!("\"{word}\""));
    }
    // Single quotes keep every character except single quotes, which stand between double quotes.
    let mut quoted = String::from("'");
    for letter in word.chars() {
        match quotation_mark(letter) {
            Some('\'') => quoted.push_str(&format!("'\"{letter}\"'")),
            _ => quoted.push(letter),
        }
    }
    quoted.push('\'');
    Cow::Owned(quoted)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn typographic_characters_are_normalized() {
        assert_eq!(words("say \u{201c}two words\u{201d} \u{2014}loud").unwrap(), ["say", "two words", "--loud"]);
        assert_eq!(words("a\u{a0}b \u{2018}c d\u{2019}").unwrap(), ["a", "b", "c d"]);
        assert_eq!(words("sta\u{200b}ging").unwrap(), ["staging"]);
        assert_eq!(words("s\u{3164}ta\u{200d}gi\u{115f}ng \u{26a0}\u{fe0f}").unwrap(), ["staging", "\u{26a0}\u{fe0f}"]);
        assert_eq!(words("x \u{2013}v").unwrap(), ["x", "-v"]);
    }

    #[test]
    fn no_typed_character_is_lost() {
        for (line, expected) in [
            (r#"a "b c" 'd e' "f g"h''"#, &["a", "b c", "d e", "f gh"][..]),
            (r"a #b c#d # e", &["a", "#b", "c#d", "#", "e"]),
            (r"C:\temp \\server\share a\ b \", &["C:\\temp", "\\\\server\\share", "a\\", "b", "\\"]),
            (r#"don\'t "say \"hi\"" 'a\' "b\\c""#, &["don't", "say \"hi\"", "a\\", "b\\\\c"]),
            ("''", &[""]),
            ("", &[]),
            (" \t\n ", &[]),
        ] {
            assert_eq!(words(line).unwrap(), expected, "{line}");
        }
    }

    #[test]
    fn an_unclosed_quotation_mark_opens_the_last_word() {
        let words = Words::of("deny 7f3ak don't, it's \"x");
        assert_eq!(words.texts(), ["deny", "7f3ak", "dont, its"]);
        assert_eq!(words.open, Some(Word { text: "x".into(), start: 23, has_long_dash: false }));
        let words = Words::of("\u{201c}a\u{201d}  \u{2014}b 'c");
        assert_eq!((words.closed[1].start, words.closed[1].has_long_dash), (9, true));
        assert!(super::words("a \"b").is_none());
    }

    #[test]
    fn a_quoted_word_is_read_as_it_was() {
        for word in [
            "",
            "a",
            "a b",
            "it's",
            "say \"hi\"",
            "it's \"x\"",
            "it's \\",
            "\\",
            "#1",
            "\u{2019}",
            "\u{2014} \"\u{2019}",
            "a\\'b",
        ] {
            assert_eq!(words(&quoted(word)).unwrap(), [word], "{word}");
        }
        assert_eq!(words(&quoted("a\u{a0}b\tc")).unwrap(), ["a b c"]);
        assert_eq!(quoted("#1\\x"), "#1\\x");
    }
}
