//! Converts the engine's texts to Mattermost's Markdown. Pure functions: no network, no store.
//!
//! Invariant: text is escaped, so that no part of it becomes a heading, a link with another label, a
//! channel link or a mention. Only [`Block::People`] mentions people, and only by a name that cannot be anything else
//! than the name of an account.

use wardroom::base::{Block, Text};

use crate::users::is_username;

/// An invisible character that ends a word. After an `@` it prevents a mention. The character is removed from received
/// messages, so that copied text keeps its meaning.
pub(crate) const ZERO_WIDTH_SPACE: char = '\u{200b}';

/// The words after an `@` that mention all members of a channel, and no account.
const GROUP_MENTIONS: [&str; 3] = ["all", "channel", "here"];

/// Returns whether a name mentions a group. A server that finds no account with a name removes punctuation from its end
/// and tries again, so that the account `channel.` would mention the whole channel.
fn mentions_group(name: &str) -> bool {
    GROUP_MENTIONS.contains(&name.trim_matches(['.', '-', '_', ':']))
}

/// Converts a text to Markdown. `name` returns the name of an account by its id. An account is shown by its id if its
/// name is unknown or could be anything else than a name, for example `channel`.
pub(crate) fn markdown(text: &Text, name: impl Fn(&str) -> Option<String>) -> String {
    let mut lines: Vec<String> = Vec::new();
    let mut blocks = text.blocks().iter().peekable();
    while let Some(block) = blocks.next() {
        match block {
            Block::Line(text) => lines.push(line(text)),
            Block::People(ids) => {
                let mention = |id: &String| match name(id) {
                    Some(name) if is_username(&name) && !mentions_group(&name) => format!("@{name}"),
                    _ => line(id),
                };
                lines.push(ids.iter().map(mention).collect::<Vec<String>>().join(" "));
            }
            Block::Quote(quote) => {
                lines.extend(quote.lines().map(|quoted| format!("> {}", line(quoted))));
                // Without an empty line, the next line would belong to the quotation.
                if blocks.peek().is_some() {
                    lines.push(String::new());
                }
            }
            Block::Code(code) => {
                let fence = "`".repeat(longest_run(code).max(2) + 1);
                lines.push(format!("{fence}\n{code}\n{fence}"));
            }
        }
    }
    lines.join("\n")
}

/// Returns the length of the longest run of backticks in a text.
fn longest_run(text: &str) -> usize {
    text.split(|letter| letter != '`').map(str::len).max().unwrap_or_default()
}

/// Escapes one line. Text between two backticks is a code span and is not changed.
fn line(text: &str) -> String {
    let unindented = text.trim_start_matches(' ');
    let mut out = "\u{a0}".repeat(text.len() - unindented.len());
    let mut rest = escape_line_start(unindented, &mut out);
    while !rest.is_empty() {
        if let Some(code) = code_span(rest) {
            out.push_str(code);
            rest = &rest[code.len()..];
            continue;
        }
        // Take a word up to the next whitespace or backtick. A space and a lone backtick count as words. Every
        // whitespace ends a URL.
        let first = rest.chars().next().map_or(0, char::len_utf8);
        let ends_word = |letter: char| letter == '`' || letter.is_whitespace();
        let end = match rest {
            _ if rest.starts_with(ends_word) => first,
            _ if is_url(rest) => rest.find(char::is_whitespace).unwrap_or(rest.len()),
            _ => rest[first..].find(ends_word).map_or(rest.len(), |found| first + found),
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

/// Returns the code span at the start of a text, with its backticks; `None` if the text does not start with a code
/// span.
fn code_span(text: &str) -> Option<&str> {
    let inner = text.strip_prefix('`')?;
    let end = inner.find('`')?;
    let alone = !inner[end + 1..].starts_with('`') && !inner[..end].trim().is_empty();
    alone.then(|| &text[..end + 2])
}

/// Escapes the start of a line that would begin a list, a rule, a quotation or the underline of a heading. Writes the
/// escaped start to `out`, and returns the part of the line after it.
fn escape_line_start<'t>(line: &'t str, out: &mut String) -> &'t str {
    if line.starts_with(['-', '+', '=']) {
        out.push(ZERO_WIDTH_SPACE);
    } else if let Some(rest) = line.strip_prefix('>') {
        out.push_str("\\>");
        return rest;
    }
    let after = line.trim_start_matches(|letter: char| letter.is_ascii_digit());
    let number = &line[..line.len() - after.len()];
    let ends = |rest: &str| rest.is_empty() || rest.starts_with(' ');
    match after.strip_prefix(['.', ')']) {
        Some(rest) if !number.is_empty() && ends(rest) => {
            out.push_str(number);
            out.push('\\');
            out.push_str(&after[..1]);
            rest
        }
        _ => line,
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
            // An underscore within a word is not markup.
            '_' if !(within(before) && within(next)) => out.extend(['\\', letter]),
            '~' => out.extend(['\\', letter, ZERO_WIDTH_SPACE]),
            '@' if within(next) => out.extend([letter, ZERO_WIDTH_SPACE]),
            // The `&` would begin an HTML entity.
            '&' if next == Some('#') || within(next) => out.push_str("&amp;"),
            _ => out.push(letter),
        }
        before = Some(letter);
    }
}

fn is_url(word: &str) -> bool {
    word.starts_with("https://") || word.starts_with("http://")
}

/// Appends a URL to `out`. Characters that would end the link are percent-encoded, and so is a backslash, because it
/// would change the link's target.
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
    use serde_json::json;

    use super::*;

    fn shown(text: &str) -> String {
        markdown(&Text::lines(text), |_| None)
    }

    #[test]
    fn text_never_becomes_markup() {
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
    fn a_code_span_is_kept_and_a_lone_backtick_is_escaped() {
        assert_eq!(shown("say `approve 7f3a` or `deny *`."), "say `approve 7f3a` or `deny *`.");
        assert_eq!(shown("`a` and ` *b*"), "`a` and \\` \\*b\\*");
        assert_eq!(shown("``a`` ` `"), "\\`\\`a\\`\\` \\` \\`");
        assert_eq!(shown("x`@here`"), "x`@here`");
    }

    #[test]
    fn text_mentions_nobody() {
        for word in ["@channel", "@here", "@all", "x.@channel", "(@alice)"] {
            let shown = shown(word);
            assert!(shown.contains("@\u{200b}"), "{shown}");
        }
        assert_eq!(shown("~town-square"), "\\~\u{200b}town-square");
        assert_eq!(shown("a @ b"), "a @ b");
        let mut text = Text::default();
        text.push_lines("x");
        assert_eq!(markdown(&text, |_| Some("alice".into())), "x", "only `Block::People` mentions people");
    }

    #[test]
    fn a_person_is_mentioned_by_a_name_and_else_shown_by_the_id() {
        let people = |id: &str| serde_json::from_value::<Text>(json!([{ "people": [id] }])).expect("a text");
        let mentioned = |name: &str| markdown(&people("id_1"), |_| Some(name.to_owned()));
        assert_eq!(mentioned("alice.b_c-2"), "@alice.b_c-2");
        for name in ["System", "x\n@channel", "a b", "a*b*", "[x](https://evil.org)", "", "channel", "here", "all"] {
            assert_eq!(mentioned(name), "id_1", "{name:?}");
        }
        for name in ["channel.", "here-", "all_", "channel._-"] {
            assert_eq!(mentioned(name), "id_1", "the server removes the punctuation of {name:?}");
        }
        assert_eq!(markdown(&people("@bob:a.org *x*"), |_| None), "@\u{200b}bob:a.org \\*x\\*");
    }

    #[test]
    fn a_quotation_ends_before_the_text_of_the_host() {
        let mut text = Text::lines("`report` failed:");
        text.push_quote("> a\n\n- @here\n```");
        text.push_lines("Nothing was changed.");
        let shown = "`report` failed:\n> \\> a\n> \n> \u{200b}- @\u{200b}here\n> \\`\\`\\`\n\nNothing was changed.";
        assert_eq!(markdown(&text, |_| None), shown);
        assert_eq!(markdown(&Text::quote("done"), |_| None), "> done");
    }

    #[test]
    fn a_url_keeps_its_target() {
        assert_eq!(
            shown("see https://ci.example.org/job/a_b/7?x=~y#z."),
            "see https://ci.example.org/job/a_b/7?x=~y#z."
        );
        assert_eq!(shown("http://x/[a](http://y) z"), "http://x/%5Ba%5D%28http://y%29 z");
        assert_eq!(shown("https://x/@channel"), "https://x/%40channel");
        // Every space ends the URL, so that the text after it is escaped.
        for space in ['\u{2003}', '\u{a0}', '\u{3000}'] {
            let text = format!("https://x/a_b{space}~t _i_ # &lt;");
            let expected = format!("https://x/a_b{space}\\~\u{200b}t \\_i\\_ \\# &amp;lt;");
            assert_eq!(shown(&text), expected, "{space:?}");
        }
    }

    #[test]
    fn a_code_block_is_fenced_by_more_backticks_than_it_holds() {
        let mut text = Text::lines("out:");
        text.push_code("a *b* @here\n```\n````");
        assert_eq!(markdown(&text, |_| None), "out:\n`````\na *b* @here\n```\n````\n`````");
    }
}
