//! Checks the documentation: the book in `docs/` and the pages at the top of the checkout.
//!
//! - The book builds without a warning.
//! - Every relative link leads to a file, and every anchor to a heading.
//! - `docs/src/SUMMARY.md` lists every page of the book.
//! - Every `toml` and `json` block parses.
//! - `README.md` has fewer than 150 lines.
//!
//! Not here: links to other sites.

mod block;
mod include;
mod link;
mod page;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail};

use crate::{report, tools, workspace};
use page::Page;

/// The pages outside of the book.
const TOP_PAGES: &[&str] = &["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md"];

const SUMMARY: &str = "docs/src/SUMMARY.md";

/// `README.md` must have fewer lines.
const README_LINES: usize = 150;

/// Builds the book into the target folder.
pub(crate) fn build() -> Result<()> {
    let book = workspace::root().join("docs");
    if !book.join("book.toml").is_file() {
        bail!("`docs/book.toml` is missing; the book is expected in `docs/`");
    }
    let mut mdbook = Command::new(tools::mdbook()?);
    mdbook.arg("build").arg(&book).arg("--dest-dir").arg(workspace::target()?.join("book"));
    // Without the setting, mdBook creates a missing page of the summary in the checkout.
    mdbook.env("MDBOOK_BUILD__CREATE_MISSING", "false");
    let output = mdbook.output().context("cannot run `mdbook`")?;
    let log = String::from_utf8_lossy(&output.stdout) + String::from_utf8_lossy(&output.stderr);
    // mdBook only logs a missing include and still succeeds.
    let warned = log.lines().any(|line| ["ERROR", "WARN"].iter().any(|level| line.trim_start().starts_with(level)));
    if !output.status.success() || warned {
        bail!("`mdbook build docs` failed:\n{}", log.trim());
    }
    report(&format!("the book is in {}\n", workspace::target()?.join("book").display()));
    Ok(())
}

/// Checks links, the summary, code blocks and the length of `README.md`.
pub(crate) fn check() -> Result<()> {
    let violations = violations(workspace::root())?;
    if violations.is_empty() {
        return Ok(());
    }
    bail!("{}", violations.join("\n"))
}

fn violations(root: &Path) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    let mut pages = BTreeMap::new();
    for name in TOP_PAGES {
        match root.join(name).is_file() {
            true => drop(pages.insert(PathBuf::from(name), Page::read(&root.join(name))?)),
            false => violations.push(format!("{name}: the file is missing")),
        }
    }
    match root.join(SUMMARY).is_file() {
        true => {
            for file in markdown(&root.join("docs/src"))? {
                let name = file.strip_prefix(root).unwrap_or(&file).to_owned();
                pages.insert(name, Page::read(&file)?);
            }
            violations.extend(unlisted(&pages));
        }
        false => violations.push(format!("{SUMMARY}: the file is missing; the book is expected in `docs/src`")),
    }
    for (name, page) in &pages {
        violations.extend(link::violations(root, name, page, &pages));
        violations.extend(block::violations(&root.join(name), name, page));
    }
    if let Some(page) = pages.get(Path::new("README.md")).filter(|page| page.lines >= README_LINES) {
        violations.push(format!(
            "README.md:{}: the file has {README_LINES} lines or more; move some text to the book",
            page.lines
        ));
    }
    Ok(violations)
}

/// Returns the violations for pages of the book that the summary does not list. The check of links finds listed pages
/// that do not exist.
fn unlisted(pages: &BTreeMap<PathBuf, Page>) -> Vec<String> {
    let summary = Path::new(SUMMARY);
    let links = pages.get(summary).map(|page| page.links.as_slice()).unwrap_or_default();
    let listed = links.iter().map(|link| link::normal(summary, &link.target)).collect::<Vec<_>>();
    let unlisted = pages.keys().filter(|page| page.starts_with("docs/src") && *page != summary);
    let unlisted = unlisted.filter(|page| !listed.iter().any(|listed| listed.as_ref() == Some(page)));
    unlisted.map(|page| format!("{}: the page is not listed in {SUMMARY}", page.display())).collect()
}

/// Returns the Markdown files under a folder.
fn markdown(folder: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).with_context(|| format!("cannot read {}", folder.display()))? {
        let entry = entry?.path();
        if entry.is_dir() {
            files.extend(markdown(&entry)?);
        } else if entry.extension().is_some_and(|extension| extension == "md") {
            files.push(entry);
        }
    }
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::fixture;

    /// Returns the violations of a valid documentation in which `files` are replaced or added.
    fn found(files: &[(&str, &str)]) -> Vec<String> {
        let right = [
            ("README.md", "# Wardroom\n\nSee [the book](docs/src/start.md#first-steps) and [plugins](plugins.toml).\n"),
            ("ARCHITECTURE.md", "# Architecture\n"),
            ("CONTRIBUTING.md", "# Contributing\n"),
            ("CHANGELOG.md", "# Changelog\n"),
            ("plugins.toml", "a = 1\nb = 2\n"),
            ("docs/src/SUMMARY.md", "# Summary\n\n- [Start](start.md)\n  - [Rooms](rooms/index.md)\n"),
            ("docs/src/start.md", "# Start\n\n## First steps\n\nGo on with [rooms](rooms/index.md).\n"),
            ("docs/src/rooms/index.md", "# Rooms\n\n[Back](../start.md#start), [here](#rooms).\n"),
        ];
        let folder = fixture(&[&right, files].concat());
        violations(folder.path()).unwrap()
    }

    #[test]
    fn right_documentation_has_no_violation() {
        assert_eq!(found(&[]), Vec::<String>::new());
    }

    #[test]
    fn a_link_to_a_missing_file_is_a_violation() {
        let start = "# Start\n\n## First steps\n\n[gone](gone.md), [out](../../../../etc/passwd) and\n\
                     ![picture](picture.png) <img src=\"other.png\">\n[absolute](/rooms/index.md) [reference][nowhere]\n\
                     [site](https://example.org/x.md) [mail](mailto:a@example.org) <a@example.org>\n\n<!-- <a href=\"old.md\"> -->\n";
        assert_eq!(
            found(&[("docs/src/start.md", start)]),
            [
                "docs/src/start.md:5: the link `gone.md` leads to a missing file",
                "docs/src/start.md:5: the link `../../../../etc/passwd` leads out of the checkout",
                "docs/src/start.md:6: the link `picture.png` leads to a missing file",
                "docs/src/start.md:6: the link `other.png` leads to a missing file",
                "docs/src/start.md:7: the link `/rooms/index.md` begins with `/`; write it relative to the page",
                "docs/src/start.md:7: the reference `nowhere` is not defined",
            ]
        );
    }

    #[test]
    fn an_anchor_without_a_heading_is_a_violation() {
        let start = "# Start\n\n## First *steps*\n\n## `run` & stop?\n\n## Same\n\n## Same\n\n## Named {#own}\n\n\
                     <a id=\"raw\"></a>[a](#first-steps) [b](#run--stop) [c](#same-1) [d](#own) [e](#raw)\n\
                     [f](#same-2) [g](rooms/index.md#missing) [h](../../plugins.toml#L2) [i](../../plugins.toml#two)\n";
        assert_eq!(
            found(&[("docs/src/start.md", start)]),
            [
                "docs/src/start.md:14: the link `#same-2` names a missing heading of docs/src/start.md",
                "docs/src/start.md:14: the link `rooms/index.md#missing` names a missing heading of docs/src/rooms/index.md",
                "docs/src/start.md:14: the link `../../plugins.toml#two` names a missing heading of plugins.toml",
            ]
        );
    }

    #[test]
    fn headings_of_an_included_page_are_headings_of_the_page() {
        let start = "{{#include ../../CHANGELOG.md}}\n\n## First steps\n\n[a](#changelog) [b](#gone)\n";
        let expected = ["docs/src/start.md:5: the link `#gone` names a missing heading of docs/src/start.md"];
        let rooms = ("docs/src/rooms/index.md", "# Rooms\n");
        assert_eq!(found(&[("docs/src/start.md", start), rooms]), expected);
    }

    #[test]
    fn the_summary_and_the_pages_agree() {
        let summary = "- [Start](start.md)\n- [Gone](gone.md)\n";
        assert_eq!(
            found(&[("docs/src/SUMMARY.md", summary)]),
            [
                "docs/src/rooms/index.md: the page is not listed in docs/src/SUMMARY.md",
                "docs/src/SUMMARY.md:2: the link `gone.md` leads to a missing file",
            ]
        );
    }

    #[test]
    fn code_blocks_parse() {
        let start = "# Start\n\n## First steps\n\n```toml\na = 1\na = 2\n```\n\n```json\n{ \"a\": 1, }\n```\n\n\
                     ```toml\nb = { c = 1 }\n```\n\n```toml,ignore\n= 1\n```\n\n```text\n= {\n```\n\n\
                     ```toml\n{{#include ../../plugins.toml}}\n{{#include ../../plugins.toml:2}}\n```\n\n\
                     ```toml\n{{#include ../../gone.toml}}\n```\n";
        let found = found(&[("docs/src/start.md", start)]);
        let starts = [
            "docs/src/start.md:7: the block is not valid TOML: ",
            "docs/src/start.md:11: the block is not valid JSON: ",
            "docs/src/start.md:19: the block is not valid TOML: ",
            "docs/src/start.md:27: the block is not valid TOML: ",
            "docs/src/start.md:32: cannot include `../../gone.toml`: ",
        ];
        assert_eq!(found.len(), starts.len(), "{found:#?}");
        for (violation, start) in found.iter().zip(starts) {
            assert!(violation.starts_with(start), "{violation}");
        }
    }

    #[test]
    fn a_long_readme_is_a_violation() {
        let long = "# Wardroom\n".to_owned() + &"\n".repeat(149);
        let expected = ["README.md:150: the file has 150 lines or more; move some text to the book"];
        assert_eq!(found(&[("README.md", &long)]), expected);
    }

    #[test]
    fn missing_documentation_is_a_violation() {
        let folder = fixture(&[("README.md", "# Wardroom\n")]);
        let found = violations(folder.path()).unwrap();
        let expected = [
            "ARCHITECTURE.md: the file is missing",
            "CONTRIBUTING.md: the file is missing",
            "CHANGELOG.md: the file is missing",
            "docs/src/SUMMARY.md: the file is missing; the book is expected in `docs/src`",
        ];
        assert_eq!(found, expected);
    }
}
