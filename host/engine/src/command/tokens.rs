//! Splits a typed line into words. Replaces the typographic characters of chat clients, and keeps quoted words
//! together.

use crate::base::is_invisible;

/// Replaces typographic characters that chat clients insert (smart quotes, dashes, special spaces) by ASCII
/// characters.
pub(crate) fn fold(text: &str) -> String {
    let mut folded = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '\u{201c}' | '\u{201d}' | '\u{201e}' | '\u{201f}' | '\u{00ab}' | '\u{00bb}' => folded.push('"'),
            '\u{2018}' | '\u{2019}' | '\u{201a}' | '\u{201b}' => folded.push('\''),
            // Some clients replace the two dashes of a flag by one long dash.
            '\u{2014}' => folded.push_str("--"),
            '\u{2010}' | '\u{2011}' | '\u{2012}' | '\u{2013}' | '\u{2212}' => folded.push('-'),
            '\u{00a0}' | '\u{2007}' | '\u{202f}' | '\u{3000}' | '\u{2000}'..='\u{200a}' => folded.push(' '),
            '\n' | '\r' | '\t' => folded.push(' '),
            // A symbol in free text keeps its colored form.
            '\u{fe0f}' => folded.push(letter),
            // Invisible characters are removed, so that a name cannot contain them.
            '\u{200d}' => {}
            _ if letter.is_control() || is_invisible(letter) => {}
            _ => folded.push(letter),
        }
    }
    folded
}

/// Splits a line into words. Returns `None` if a quote is not closed.
pub(crate) fn words(text: &str) -> Option<Vec<String>> {
    shell_words::split(&fold(text)).ok()
}

/// Returns `word` as a person must type it in a command line. Adds quotes if the parser would otherwise not read the
/// word as one argument.
pub(crate) fn quoted(word: &str) -> std::borrow::Cow<'_, str> {
    shell_words::quote(word)
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
    fn quotes_and_backslashes_are_respected() {
        assert_eq!(words(r#"a "b c" 'd e' f\ g"#).unwrap(), ["a", "b c", "d e", "f g"]);
        assert!(words("a \"b").is_none());
    }
}
