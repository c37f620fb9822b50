//! Expands mdBook's `{{#include FILE}}`, `{{#include FILE:FIRST:LAST}}` and `{{#include FILE:ANCHOR}}`.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

/// Returns the text with each include replaced by the lines of its file.
pub(super) fn expanded(file: &Path, text: &str) -> Result<String> {
    const OPEN: &str = "{{#include ";
    let mut expanded = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once(OPEN) {
        let (include, after) = after.split_once("}}").ok_or_else(|| anyhow!("an include has no `}}}}`"))?;
        let mut parts = include.trim().splitn(2, ':');
        let path = parts.next().unwrap_or_default();
        let included =
            fs::read_to_string(file.with_file_name(path)).with_context(|| format!("cannot include `{path}`"))?;
        expanded.push_str(before);
        expanded.push_str(&part(&included, parts.next()).with_context(|| format!("cannot include `{path}`"))?);
        rest = after;
    }
    Ok(expanded + rest)
}

/// Returns the lines that an include names: all, one, a range, or the lines between `ANCHOR: name` and `ANCHOR_END:
/// name`.
fn part(text: &str, range: Option<&str>) -> Result<String> {
    let Some(range) = range else { return Ok(text.trim_end().to_owned()) };
    let (first, last) = range.split_once(':').unwrap_or((range, range));
    let number = |text: &str, default: usize| if text.is_empty() { Some(default) } else { text.parse().ok() };
    let lines = text.lines();
    let chosen = match (number(first, 1), number(last, usize::MAX)) {
        (Some(first), Some(last)) => lines.take(last).skip(first.saturating_sub(1)).collect::<Vec<_>>(),
        _ => {
            let marked = |line: &str, mark: &str| {
                line.split_once(mark).is_some_and(|(_, name)| name.split_whitespace().next() == Some(range))
            };
            let lines = lines.skip_while(|line| !marked(line, "ANCHOR:")).skip(1);
            let lines = lines.take_while(|line| !marked(line, "ANCHOR_END:"));
            lines.filter(|line| !line.contains("ANCHOR:") && !line.contains("ANCHOR_END:")).collect()
        }
    };
    if chosen.is_empty() {
        return Err(anyhow!("the file has no lines `{range}`"));
    }
    Ok(chosen.join("\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_a_file_are_included() {
        let text = "a\n# ANCHOR: mine\nb\nc\n# ANCHOR_END: mine\nd\n";
        let chosen = |range| part(text, Some(range)).unwrap();
        assert_eq!(part(text, None).unwrap(), text.trim_end());
        assert_eq!((chosen("1"), chosen("3:4"), chosen("6:")), ("a".into(), "b\nc".into(), "d".into()));
        assert_eq!(chosen("mine"), "b\nc");
        assert!(part(text, Some("other")).is_err());
    }
}
