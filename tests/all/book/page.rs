//! A Markdown page with its code blocks.
//!
//! Not here: the rest of Markdown. A block begins and ends with a fence of three backticks, at any indentation.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};

use crate::test_host::repository;

const FENCE: &str = "```";

pub(super) struct Page {
    pub(super) file: PathBuf,
    /// The whole text.
    pub(super) text: String,
    /// The code blocks in their order on the page.
    pub(super) blocks: Vec<Block>,
}

pub(super) struct Block {
    /// The words after the opening fence, split at commas.
    info: Vec<String>,
    /// The text as it is on the page.
    pub(super) raw: String,
    /// The text without the indentation of the fence.
    pub(super) text: String,
    /// The line number of the opening fence.
    pub(super) line: usize,
}

impl Block {
    /// Returns true if the info string contains the word.
    pub(super) fn is(&self, word: &str) -> bool {
        self.info.iter().any(|known| known == word)
    }
}

impl Page {
    pub(super) fn read(file: &Path) -> Result<Self> {
        let text = fs::read_to_string(file).with_context(|| format!("cannot read {}", file.display()))?;
        let mut blocks = Vec::new();
        let mut lines = text.lines().enumerate();
        while let Some((number, line)) = lines.next() {
            let Some(info) = line.trim_start().strip_prefix(FENCE) else { continue };
            let indent = &line[..line.len() - line.trim_start().len()];
            let mut raw = String::new();
            let mut inside = String::new();
            let mut closed = false;
            for (_, line) in lines.by_ref() {
                if line.trim() == FENCE {
                    closed = true;
                    break;
                }
                raw.push_str(line);
                raw.push('\n');
                inside.push_str(line.strip_prefix(indent).unwrap_or(line));
                inside.push('\n');
            }
            ensure!(closed, "{}:{}: a code block is not closed", file.display(), number + 1);
            let info = info.split(',').map(|word| word.trim().to_owned()).collect();
            blocks.push(Block { info, raw, text: inside, line: number + 1 });
        }
        Ok(Self { file: file.to_owned(), text, blocks })
    }
}

impl fmt::Display for Page {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.file.strip_prefix(repository()).unwrap_or(&self.file).display().fmt(f)
    }
}
