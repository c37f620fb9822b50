//! Replaces mentions of people in the text of a message by their ids. Clients write a mention as a link to the person:
//! a Markdown link in the text, or a link in the HTML whose label stands in the text.
//!
//! Invariant: only the mention itself changes; every other character of the text stays.

use std::{borrow::Cow, ops::Range, sync::LazyLock};

use matrix_sdk::ruma::{MatrixToUri, MatrixUri, matrix_uri::MatrixId};
use regex::Regex;

/// A link in HTML: its address in double or single quotes, and its label.
static LINK: LazyLock<Regex> = LazyLock::new(|| {
    regex(r#"(?is)<a\s[^>]*?href\s*=\s*(?:"(?<double>[^"]*)"|'(?<single>[^']*)')[^>]*>(?<label>.*?)</a>"#)
});
/// The tags around quoted text in HTML. The mentions in quoted text are not the sender's.
static QUOTATION: LazyLock<Regex> = LazyLock::new(|| regex(r"(?is)<(?<end>/?)(?:mx-reply|blockquote)\b[^>]*>"));
static TAG: LazyLock<Regex> = LazyLock::new(|| regex(r"(?s)<[^>]*>"));
/// The end of the label of a Markdown link, and the address of a person.
static ADDRESS: LazyLock<Regex> =
    LazyLock::new(|| regex(r"\]\(<?(?<address>(?:https://matrix\.to/#/|matrix:u/)[^\s()<>]+)>?\)"));

/// The maximum number of links in the HTML of a message that are read.
const MAX_LINKS: usize = 50;
/// The maximum length of the label of a Markdown link, in characters.
const MAX_LABEL_CHARS: usize = 300;

#[expect(clippy::unwrap_used, reason = "the patterns are constants, and every test compiles them")]
fn regex(pattern: &str) -> Regex {
    Regex::new(pattern).unwrap()
}

/// Returns the text of a message with each mention of a person replaced by the person's id. `html` is the HTML form of
/// the same text.
pub(super) fn with_ids<'t>(text: &'t str, html: Option<&str>) -> Cow<'t, str> {
    let mut text = Cow::Borrowed(text);
    let mut from = 0;
    while let Some((link, id)) = markdown_link(&text, from) {
        from = link.start + id.len();
        text.to_mut().replace_range(link, &id);
    }
    let Some(html) = html.filter(|html| html.contains("<a")).and_then(without_quotations) else { return text };
    // The place of each mention in the text, and the person's id.
    let mut places: Vec<(Range<usize>, String)> = Vec::new();
    let all = plain(&html);
    for link in LINK.captures_iter(&html).take(MAX_LINKS) {
        let address = link.name("double").or_else(|| link.name("single")).map_or("", |address| address.as_str());
        let (Some(id), Some(whole)) = (person(&unescaped(address)), link.get(0)) else { continue };
        let label = plain(&link["label"]);
        let label = label.trim();
        // The text and the HTML have the label equally often, so its place in the HTML is its place in the text.
        let before = plain(&html[..whole.start()]);
        let in_text: Vec<usize> = text.match_indices(label).map(|(at, _)| at).collect();
        if label.is_empty() || in_text.len() != all.matches(label).count() {
            continue;
        }
        if let Some(start) = in_text.get(before.matches(label).count()) {
            places.extend(place(&text, *start..start + label.len()).map(|place| (place, id)));
        }
    }
    places.sort_by_key(|(place, _)| place.start);
    for (place, id) in places.into_iter().rev() {
        text.to_mut().replace_range(place, &id);
    }
    text
}

/// Returns the HTML without quoted text; `None` if the tags of quoted text do not match each other.
fn without_quotations(html: &str) -> Option<String> {
    let (mut own, mut depth, mut from) = (String::new(), 0_usize, 0);
    for tag in QUOTATION.captures_iter(html) {
        let whole = tag.get(0)?;
        if depth == 0 {
            own.push_str(&html[from..whole.start()]);
        }
        depth = if tag["end"].is_empty() { depth + 1 } else { depth.checked_sub(1)? };
        from = whole.end();
    }
    own.push_str(&html[from..]);
    (depth == 0).then_some(own)
}

/// Returns the text that HTML shows.
fn plain(html: &str) -> String {
    unescaped(&TAG.replace_all(html, ""))
}

/// Returns the place of the first Markdown link to a person after the position `from`, and the person's id.
fn markdown_link(text: &str, from: usize) -> Option<(Range<usize>, String)> {
    ADDRESS.captures_iter(&text[from..]).find_map(|captures| {
        let id = person(&captures["address"])?;
        let whole = captures.get(0)?;
        let label_end = from + whole.start();
        // The label can contain brackets, in pairs or after a backslash.
        let mut depth = 1;
        let mut letters = text[from..label_end].char_indices().rev().take(MAX_LABEL_CHARS).peekable();
        while let Some((at, letter)) = letters.next() {
            if letters.peek().is_some_and(|(_, before)| *before == '\\') {
                continue;
            }
            match letter {
                ']' => depth += 1,
                '[' => depth -= 1,
                _ => {}
            }
            if depth == 0 {
                return Some((from + at..from + whole.end(), id));
            }
        }
        None
    })
}

/// Returns the id of the person to whom an address links.
fn person(address: &str) -> Option<String> {
    let id = match MatrixToUri::parse(address) {
        Ok(uri) => uri.id().clone(),
        Err(_) => MatrixUri::parse(address).ok()?.id().clone(),
    };
    match id {
        MatrixId::User(id) => Some(id.to_string()),
        _ => None,
    }
}

/// Returns the place of a mention whose label is at `label`, with an `@` before it. Returns `None` if the mention is a
/// part of a longer word.
fn place(text: &str, label: Range<usize>) -> Option<Range<usize>> {
    let start = if text[..label.start].ends_with('@') { label.start - 1 } else { label.start };
    let is_word = |letter: Option<char>| letter.is_some_and(char::is_alphanumeric);
    let is_part = is_word(text[..start].chars().next_back()) || is_word(text[label.end..].chars().next());
    (!is_part).then_some(start..label.end)
}

/// Replaces the character references that clients write for special characters of HTML.
fn unescaped(html: &str) -> String {
    [("&lt;", "<"), ("&gt;", ">"), ("&quot;", "\""), ("&#39;", "'"), ("&#x27;", "'"), ("&nbsp;", " "), ("&amp;", "&")]
        .iter()
        .fold(html.to_owned(), |text, (reference, letter)| text.replace(reference, letter))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mention_in_any_form_is_an_id() {
        let pill = |id: &str, label: &str| format!("<a href=\"https://matrix.to/#/{id}\">{label}</a>");
        for (text, html, expected) in [
            // Element X.
            ("auth [@bob:x](https://matrix.to/#/@bob:x) cms", String::new(), "auth @bob:x cms"),
            ("[Bob](https://matrix.to/#/%40bob%3Ax): hello", String::new(), "@bob:x: hello"),
            ("auth [Bob [ops] S](https://matrix.to/#/@bob:x) [a](b)", String::new(), "auth @bob:x [a](b)"),
            ("auth [Bob \\[S](https://matrix.to/#/@bob:x) it", String::new(), "auth @bob:x it"),
            ("[a](matrix:u/bob:x) [b](<https://matrix.to/#/@c:x>)", String::new(), "@bob:x @c:x"),
            // Element Web: the display name in the text, and a link in the HTML.
            ("auth Bob S. cms", format!("auth {} cms", pill("@bob:x", "Bob S.")), "auth @bob:x cms"),
            ("auth @Bob cms", format!("auth {} cms", pill("@bob:x", "Bob")), "auth @bob:x cms"),
            ("auth Bobby Bob cms", format!("auth Bobby {} cms", pill("@bob:x", "Bob")), "auth Bobby @bob:x cms"),
            ("deploy cms live, @live", format!("deploy cms live, {}", pill("@l:x", "live")), "deploy cms live, @l:x"),
            ("foo@Bob", format!("foo@{}", pill("@bob:x", "Bob")), "foo@Bob"),
            ("auth B&B cms", format!("auth {} cms", pill("@bob:x", "<b>B&amp;B</b>")), "auth @bob:x cms"),
            ("auth @bob:x cms", format!("auth {} cms", pill("@bob:x", "Bob")), "auth @bob:x cms"),
            ("Ann Ann", format!("{} {}", pill("@a:x", "Ann"), pill("@b:x", "Ann")), "@a:x @b:x"),
            ("auth Bob", "auth <a class='m' href='matrix:u/bob:x'>Bob</a>".to_owned(), "auth @bob:x"),
            // A link to something else, a mention in quoted text, and a link without its end.
            ("see cms", "see <a href=\"https://example.org\">cms</a>".to_owned(), "see cms"),
            ("see [cms](https://matrix.to/#/#ops:x)", String::new(), "see [cms](https://matrix.to/#/#ops:x)"),
            ("where cms", format!("<mx-reply>{}</mx-reply>where cms", pill("@eve:x", "cms")), "where cms"),
            (
                "auth alice",
                format!(
                    "<blockquote><blockquote>x</blockquote><p>{}</p></blockquote><p>auth alice</p>",
                    pill("@eve:x", "alice")
                ),
                "auth alice",
            ),
            ("auth alice", format!("</blockquote>{} <p>auth alice</p>", pill("@eve:x", "alice")), "auth alice"),
            ("auth alice", format!("{} <p>auth alice</p>", pill("@eve:x", "alice")), "auth alice"),
            ("x](https://matrix.to/#/@bob:x)", String::new(), "x](https://matrix.to/#/@bob:x)"),
        ] {
            assert_eq!(with_ids(text, Some(&html)), expected, "{text}");
        }
    }

    #[test]
    fn long_texts_are_converted_quickly() {
        let began = std::time::Instant::now();
        for part in ["[](https://matrix.to/#/@b:x)", "[", "](https://matrix.to/#/@b:x)", "<a href=\"", "<a href=\"x\">"]
        {
            let text = part.repeat(65_536 / part.len());
            with_ids(&text, Some(&text));
        }
        assert!(began.elapsed() < std::time::Duration::from_secs(20), "{:?}", began.elapsed());
    }
}
