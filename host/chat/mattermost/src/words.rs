//! The engine's words as a Mattermost message. Pure: no network, no store.
//!
//! Architecture Invariant: words go out escaped. Nothing in them becomes a heading, a link under another name, a channel
//! or a mention; the host alone calls people, by [`Block::People`].

use wardroom::reply::{Block, Text};

/// What does not show, and ends a word: behind an `@` it keeps servers and clients from reading a name. Taken out again of
/// what comes in, so that a word that somebody copied is the word that was meant.
pub(crate) const BREAK: char = '\u{200b}';

/// A text as Markdown. `name` gives the name of an account by its id.
pub(crate) fn markdown(text: &Text, name: impl Fn(&str) -> Option<String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    for block in text.blocks() {
        match block {
            Block::Line(text) => lines.push(line(text)),
            Block::People(ids) => {
                let called: Vec<String> =
                    ids.iter().map(|id| name(id).map_or_else(|| line(id), |name| format!("@{name}"))).collect();
                lines.push(called.join(" "));
            }
            Block::Code(code) => {
                let fence = "`".repeat(longest_run(code).max(2) + 1);
                lines.push(format!("{fence}\n{code}\n{fence}"));
            }
        }
    }
    lines.join("\n")
}

/// The longest run of backticks in a text.
fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

/// One line, escaped. What stands between two backticks is shown as a command is: as it stands.
fn line(text: &str) -> String {
    let words = text.trim_start_matches(' ');
    let mut out = "\u{a0}".repeat(text.len() - words.len());
    let mut rest = opening(words, &mut out);
    while !rest.is_empty() {
        if let Some(code) = code_span(rest) {
            out.push_str(code);
            rest = &rest[code.len()..];
            continue;
        }
        // Up to the next word or backtick, whichever comes first; a blank goes by itself.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let end = match rest {
            _ if rest.starts_with([' ', '`']) => first,
            _ if is_url(rest) => rest.find(' ').unwrap_or(rest.len()),
            _ => rest[first..].find(['`', ' ']).map_or(rest.len(), |found| first + found),
        };
        let (word, after) = rest.split_at(end);
        if is_url(word) {
            url(word, &mut out)
        } else {
            escape(word, &mut out)
        }
        rest = after;
    }
    out
}

/// The code at the beginning of a text, with the backticks around it.
fn code_span(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('`')?;
    let end = inner.find('`')?;
    let alone = !inner[end + 1..].starts_with('`') && !inner[..end].trim().is_empty();
    alone.then(|| &text[..end + 2])
}

/// Writes what could begin a list, a ruler, a quotation or the underline of a heading; gives the rest of the line.
fn opening<'t>(words: &'t str, out: &mut String) -> &'t str {
    if words.starts_with(['-', '+', '=']) {
        out.push(BREAK);
    } else if let Some(rest) = words.strip_prefix('>') {
        out.push_str("\\>");
        return rest;
    }
    let after = words.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = &words[..words.len() - after.len()];
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    match after.strip_prefix(['.', ')']) {
        Some(rest) if !number.is_empty() && ends(rest) => {
            out.push_str(number);
            out.push('\\');
            out.push_str(&after[..1]);
            rest
        }
        _ => words,
    }
}

fn escape(word: &str, out: &mut String) {
    let mut before: Option<char> = None;
    let mut letters = word.chars().peekable();
    while let Some(letter) = letters.next() {
        let next = letters.peek().copied();
        let within = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
        match letter {
            '\\' | '`' | '*' | '[' | ']' | '#' | '|' => out.extend(['\\', letter]),
            // Within a word it is a letter like others.
            '_' if !(within(before) && within(next)) => out.extend(['\\', letter]),
            '~' => out.extend(['\\', letter, BREAK]),
            '@' if within(next) => out.extend([letter, BREAK]),
            // Otherwise read as the letter that it names.
            '&' if next == Some('#') || within(next) => out.push_str("&amp;"),
            _ => out.push(letter),
        }
        before = Some(letter);
    }
}

fn is_url(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

/// A URL stays what it is, because a backslash in it would lead elsewhere. What could end it is written as its code.
fn url(word: &str, out: &mut String) {
    for letter in word.chars() {
        match letter {
            '\\' | '`' | '*' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '<' | '>' | '@' => {
                out.push_str(&format!("%{:02X}", u32::from(letter)));
            }
            _ => out.push(letter),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        markdown(&Text::lines(text), |_| None)
    }

    #[test]
    fn nothing_becomes_markup() {
        assert_eq!(shown("**a** _b_ cms_staging"), "\\*\\*a\\*\\* \\_b\\_ cms_staging");
        assert_eq!(shown("[good](https://evil.org)"), "\\[good\\](https://evil.org)");
        assert_eq!(shown("![x](y) # x"), "!\\[x\\](y) \\# x");
        assert_eq!(shown("> x > y"), "\\> x > y");
        assert_eq!(shown("- x\n+ x\n---\n==="), "\u{200b}- x\n\u{200b}+ x\n\u{200b}---\n\u{200b}===");
        assert_eq!(shown("1. x\n12) y\n1.0.2 z\n7."), "1\\. x\n12\\) y\n1.0.2 z\n7\\.");
        assert_eq!(shown("a | b \\"), "a \\| b \\\\");
        assert_eq!(shown("    four"), "\u{a0}\u{a0}\u{a0}\u{a0}four");
        assert_eq!(shown("&lt; a & b"), "&amp;lt; a & b");
        assert_eq!(shown("\u{e9}\u{1f680} _"), "\u{e9}\u{1f680} \\_");
    }

    #[test]
    fn a_command_between_backticks_stands_as_it_is_and_a_lone_backtick_is_one() {
        assert_eq!(shown("say `approve 7f3a` or `deny *`."), "say `approve 7f3a` or `deny *`.");
        assert_eq!(shown("`a` and ` *b*"), "`a` and \\` \\*b\\*");
        assert_eq!(shown("``a`` ` `"), "\\`\\`a\\`\\` \\` \\`");
        assert_eq!(shown("x`@here`"), "x`@here`");
    }

    #[test]
    fn nobody_is_called_by_words() {
        for word in ["@channel", "@here", "@all", "x.@channel", "(@alice)"] {
            let shown = shown(word);
            assert!(shown.contains("@\u{200b}"), "{shown}");
        }
        assert_eq!(shown("~town-square"), "\\~\u{200b}town-square");
        assert_eq!(shown("a @ b"), "a @ b");
        let mut text = Text::default();
        text.push_lines("x");
        assert_eq!(markdown(&text, |_| Some("alice".into())), "x", "the host alone calls people");
    }

    #[test]
    fn a_url_leads_where_it_did() {
        assert_eq!(
            shown("see https://ci.example.org/job/a_b/7?x=~y#z."),
            "see https://ci.example.org/job/a_b/7?x=~y#z."
        );
        assert_eq!(shown("http://x/[a](http://y) z"), "http://x/%5Ba%5D%28http://y%29 z");
        assert_eq!(shown("https://x/@channel"), "https://x/%40channel");
    }

    #[test]
    fn code_stays_code_whatever_is_in_it() {
        let mut text = Text::lines("out:");
        text.push_code("a *b* @here\n```\n````");
        assert_eq!(markdown(&text, |_| None), "out:\n`````\na *b* @here\n```\n````\n`````");
    }
}
