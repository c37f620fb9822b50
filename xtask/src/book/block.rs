//! Whether the code blocks of a page parse.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result, anyhow};

use super::page::{Block, Page};

/// The breaches of one page: its file, its name in messages, what it holds.
pub(super) fn breaches(file: &Path, name: &Path, page: &Page) -> Vec<String> {
    let mut breaches = Vec::new();
    for block in page.blocks.iter().filter(|block| matches!(block.language.as_str(), "toml" | "json")) {
        if let Err((line, why)) = parses(file, block) {
            breaches.push(format!("{}:{}: {why}", name.display(), block.line + line));
        }
    }
    breaches
}

/// The line inside of the block and the reason where it does not parse.
fn parses(file: &Path, block: &Block) -> Result<(), (usize, String)> {
    let text = expanded(file, &block.text).map_err(|error| (0, format!("{error:#}")))?;
    // After an include the lines of the text are not those of the page.
    let own_lines = text == block.text;
    let at = |line: usize| if own_lines { line } else { 0 };
    match block.language.as_str() {
        "toml" => text.parse::<toml::Table>().map(drop).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            (at(text[..start].matches('\n').count()), format!("the block is no TOML: {}", error.message()))
        }),
        _ => serde_json::from_str::<serde_json::Value>(&text)
            .map(drop)
            .map_err(|error| (at(error.line().saturating_sub(1)), format!("the block is no JSON: {error}"))),
    }
}

/// The text of a block with mdBook's `{{#include FILE}}` and `{{#include FILE:FIRST:LAST}}` replaced.
fn expanded(file: &Path, text: &str) -> Result<String> {
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

/// The lines that an include names: all, one, a range, or those between `ANCHOR: name` and `ANCHOR_END: name`.
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
        return Err(anyhow!("it has no lines `{range}`"));
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
