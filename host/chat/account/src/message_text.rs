//! The text of a chat message as the engine reads it.

use wardroom::base::clean;

/// The longest display name, in characters.
const MAX_NAME: usize = 80;

/// A message without quoted lines (a reply repeats the message that it answers in them) and without fenced code blocks.
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

/// The rest of a text that begins with a name, without a `:` or `,` behind the name; `None` where it begins with another word.
/// Upper and lower case are equal.
pub fn strip_leading_name<'t>(text: &'t str, name: &str) -> Option<&'t str> {
    let (head, rest) = text.split_at_checked(name.len()).filter(|_| !name.is_empty())?;
    let ends = rest.is_empty() || rest.starts_with([':', ',']) || rest.starts_with(char::is_whitespace);
    let rest = (ends && head.to_lowercase() == name.to_lowercase()).then_some(rest)?;
    Some(rest.strip_prefix([':', ',']).unwrap_or(rest).trim_start())
}

/// A person's display name without invisible characters and without characters that change the reading direction, at most 80
/// characters; `fallback` where nothing is left.
pub fn display_name(name: Option<&str>, fallback: &str) -> String {
    let name: String = clean(name.unwrap_or_default()).trim().chars().take(MAX_NAME).collect();
    if name.is_empty() { fallback.to_owned() } else { name }
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
