//! Converts the text and the time of chat messages for the engine.

use wardroom::{
    Timestamp,
    base::{Block, Text, clean},
};

/// Maximum length of a display name, in characters. A longer name is truncated.
const MAX_NAME: usize = 80;

/// The marks at the start and at the end of a code block.
const FENCES: [&str; 2] = ["```", "~~~"];

/// Removes quoted lines (`> …`) and fenced code blocks from a message, because a command in a quotation or an example
/// must not run.
pub fn strip_quotes_and_code(body: &str) -> String {
    // The mark that ends the code block that a line is in.
    let mut block: Option<&str> = None;
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| {
            let line = line.trim_start();
            let fence = FENCES.into_iter().find(|fence| line.starts_with(fence));
            let keep = block.is_none() && fence.is_none() && !line.starts_with('>');
            match (block, fence) {
                // A block that begins and ends on one line ("```x```") does not affect the lines below it.
                (None, Some(fence)) if !line[fence.len()..].trim_start_matches(&fence[..1]).contains(fence) => {
                    block = Some(fence);
                }
                (Some(open), Some(fence)) if open == fence => block = None,
                _ => {}
            }
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

/// Checks that a message that begins with this prefix arrives on the network, and that [`strip_quotes_and_code`] keeps it.
///
/// # Errors
/// The reason in one line.
pub fn check_prefix(prefix: &str) -> Result<(), String> {
    let reason = match prefix {
        _ if prefix.starts_with('/') => "clients take a line that begins with `/` as a command of their own",
        _ if prefix.starts_with('>') => "a line that begins with `>` is a quotation, which the bot does not read",
        _ if FENCES.iter().any(|fence| prefix.starts_with(fence)) => {
            "a line that begins with it starts a code block, which the bot does not read"
        }
        _ => return Ok(()),
    };
    Err(reason.to_owned())
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
        assert_eq!(strip_quotes_and_code("~~~\n```\n!deploy cms\n~~~\n!where"), "!where");
        assert_eq!(strip_quotes_and_code(" > !deploy cms\n!where"), "!where");
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

    #[test]
    fn a_prefix_that_does_not_arrive_is_refused() {
        for prefix in ["/", "/bot-", "//", ">", ">>", "```", "~~~"] {
            check_prefix(prefix).unwrap_err();
        }
        for prefix in ["!", "!!", "?", ".", "~", "`", "$", "#", "!/", "-", "@"] {
            check_prefix(prefix).unwrap();
            let line = format!("{prefix}deploy cms");
            assert_eq!(strip_quotes_and_code(&line).trim(), line);
        }
    }
}
