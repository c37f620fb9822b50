//! Checks that the code blocks of a page parse.

use std::path::Path;

use super::include;
use super::page::{Block, Page};

/// Returns the violations of one page. `name` is the page's name in messages.
pub(super) fn violations(file: &Path, name: &Path, page: &Page) -> Vec<String> {
    let mut violations = Vec::new();
    for block in page.blocks.iter().filter(|block| matches!(block.language.as_str(), "toml" | "json")) {
        if let Err((line, why)) = parses(file, block) {
            violations.push(format!("{}:{}: {why}", name.display(), block.line + line));
        }
    }
    violations
}

/// Parses a block. The error is the line inside the block, and the reason.
fn parses(file: &Path, block: &Block) -> Result<(), (usize, String)> {
    let text = include::expanded(file, &block.text).map_err(|error| (0, format!("{error:#}")))?;
    // If the block has an include, line numbers of the expanded text do not match the page.
    let own_lines = text == block.text;
    let at = |line: usize| if own_lines { line } else { 0 };
    match block.language.as_str() {
        "toml" => text.parse::<toml::Table>().map(drop).map_err(|error| {
            let start = error.span().map_or(0, |span| span.start.min(text.len()));
            (at(text[..start].matches('\n').count()), format!("the block is not valid TOML: {}", error.message()))
        }),
        _ => serde_json::from_str::<serde_json::Value>(&text)
            .map(drop)
            .map_err(|error| (at(error.line().saturating_sub(1)), format!("the block is not valid JSON: {error}"))),
    }
}
