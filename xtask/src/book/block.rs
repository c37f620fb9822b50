//! Whether the code blocks of a page parse.

use std::path::Path;

use super::include;
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
    let text = include::expanded(file, &block.text).map_err(|error| (0, format!("{error:#}")))?;
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
