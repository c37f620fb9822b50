//! Converts the text and the time of chat messages for the engine.

use wardroom::{
    Timestamp,
    base::{Block, Text, clean},
};

/// Maximum length of a display name, in characters. A longer name is truncated.
const MAX_NAME: usize = 80;

/// Removes quoted lines (`> …`) and fenced code blocks from a message, because a command in a quotation or an example
/// must not run.
pub fn strip_quotes_and_code(body: &str) -> String {
    let mut in_fence = false;
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| {
            let fence = line.trim_start().starts_with("```");
            // A fence that opens and closes on one line ("```x```") does not affect the lines below it.
            let closed = fence && line.trim_start().trim_start_matches('`').contains("```");
            let keep = !in_fence && !fence && !line.starts_with('>');
            in_fence ^= fence && (in_fence || !closed);
            keep
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Removes a leading name and an optional `:` or `,` from a text, and returns the remaining text. Returns `None` if the
/// text does not begin with the name. Case is ignored. For the name `ops-bot`, `Ops-Bot: deploy` gives `deploy`.
pub fn strip_leading_name<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(name.len()).filter(|_| !name.is_empty())?;
    let ends = rest.is_empty() || rest.starts_with([':', ',']) || rest.starts_with(char::is_whitespace);
    let rest = (ends && head.to_lowercase() == name.to_lowercase()).then_some(rest)?;
    Some(rest.strip_prefix([':', ',']).unwrap_or(rest).trim_start())
}

/// Returns a person's display name without invisible characters and without characters that change the reading
/// direction, truncated to 80 characters. Returns `fallback` if no character is left.
pub fn display_name(name: Option<&str>, fallback: &str) -> String {
    let name: String = clean(name.unwrap_or_default()).trim().chars().take(MAX_NAME).collect();
    if name.is_empty() { fallback.to_owned() } else { name }
}

/// Returns the ids of the people that a text mentions.
pub fn mentioned_people(text: &Text) -> impl Iterator<Item = &str> {
    let ids = text.blocks().iter().filter_map(|block| match block {
        Block::People(ids) => Some(ids),
        Block::Line(_) | Block::Quote(_) | Block::Code(_) => None,
    });
    ids.flatten().map(String::as_str)
}

/// Converts milliseconds since 1970 to a time. Returns 1970 if the number is out of range.
pub fn timestamp(millis: i64) -> Timestamp {
    Timestamp::from_millisecond(millis).unwrap_or(Timestamp::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quotes_and_code_blocks_are_left_out() {
        assert_eq!(strip_quotes_and_code("> <@alice:x> !deploy cms\n\n!where cms"), "!where cms");
        assert_eq!(strip_quotes_and_code("```\n!deploy cms\n```"), "");
        assert_eq!(strip_quotes_and_code("```!deploy cms```\n!where"), "!where");
        assert_eq!(strip_quotes_and_code("!where\n```\n!deploy cms\n```"), "!where");
    }

    #[test]
    fn a_leading_name_ends_with_its_word() {
        assert_eq!(strip_leading_name("Ops-Bot: deploy", "ops-bot"), Some("deploy"));
        assert_eq!(strip_leading_name("ops-bot", "ops-bot"), Some(""));
        assert_eq!(strip_leading_name("ops-bots deploy", "ops-bot"), None);
        assert_eq!(strip_leading_name("deploy", ""), None);
    }

    #[test]
    fn a_display_name_has_no_invisible_and_no_direction_characters() {
        assert_eq!(display_name(Some("\u{202e}ecila\u{202c} \u{200b}"), "bob"), "ecila");
        assert_eq!(display_name(Some("\u{2066}\u{200f}\u{2069}"), "bob"), "bob");
        assert_eq!(display_name(None, "bob"), "bob");
        assert_eq!(display_name(Some(&"x".repeat(500)), "bob").len(), 80);
    }
}
