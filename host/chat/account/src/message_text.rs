//! Converts the text and the time of chat messages for the engine.

use wardroom::{
    Timestamp,
    base::{Block, Text, clean},
};

/// Maximum length of a display name, in characters. A longer name is truncated.
const MAX_NAME: usize = 80;

/// The marks around a code block in Markdown.
const FENCES: [&str; 2] = ["```", "~~~"];

/// Removes quoted lines (`> …`) and fenced code blocks from a message, because a command in a quotation or an example
/// must not run.
pub fn strip_quotes_and_code(body: &str) -> String {
    // The mark of the open block.
    let mut open: Option<&str> = None;
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| {
            let is_quoted = line.starts_with('>');
            let line = line.trim_start();
            let fence = FENCES.into_iter().find(|fence| line.starts_with(fence));
            match (open, fence) {
                (Some(mark), Some(fence)) if mark == fence => open = None,
                (None, Some(fence)) => {
                    // A block that opens and closes on one line ("```x```") does not affect the lines below it.
                    let is_closed = line.trim_start_matches(&fence[..1]).contains(fence);
                    open = (!is_closed).then_some(fence);
                }
                (None, None) => return !is_quoted,
                (Some(_), _) => {}
            }
            false
        })
        .collect();
    lines.join("\n").trim().to_owned()
}

/// Removes code blocks of indented lines from a message in Markdown: lines that begin with four spaces or a tab, at the
/// start of the message or after an empty line.
pub fn strip_indented_code(body: &str) -> String {
    let mut after_text = false;
    let lines: Vec<&str> = body
        .lines()
        .filter(|line| {
            let is_indented = line.starts_with("    ") || line.starts_with('\t');
            let is_code = is_indented && !after_text;
            after_text = !line.trim().is_empty() && !is_code;
            !is_code
        })
        .collect();
    lines.join("\n")
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

/// Checks that a message that begins with this prefix arrives on the network, and that [`strip_quotes_and_code`] keeps
/// it.
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
        assert_eq!(strip_quotes_and_code("~~~ sh\n!deploy cms\n```\n!rollback cms\n~~~\n!where"), "!where");
        assert_eq!(strip_quotes_and_code("  > !deploy cms"), "> !deploy cms", "only a mark at the start quotes a line");
    }

    #[test]
    fn an_indented_block_is_code_and_an_indented_line_of_a_paragraph_is_not() {
        assert_eq!(strip_indented_code("    !deploy cms"), "");
        assert_eq!(strip_indented_code("\t!deploy cms\n!where"), "!where");
        assert_eq!(strip_indented_code("!where\n\n    !deploy cms\n    !deploy shop\n"), "!where\n");
        assert_eq!(strip_indented_code("!say hello\n    world"), "!say hello\n    world");
        assert_eq!(strip_indented_code("   !where"), "   !where");
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
