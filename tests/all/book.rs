//! Tests the README and the book: their sessions must give the shown output, and their configurations must be valid.
//!
//! The info string of a code block selects the test:
//!
//! ```text
//! text,session            command lines after `$ `, lines typed into a host after `> `, each with its output
//! toml,complete           a whole plugins.toml, in which `wardroom check` finds no problem
//! toml,complete,session   the same; the sessions after it on the page use it instead of the sample configuration
//! toml                    part of a plugins.toml, which must parse
//! toml,sender             the same; a test sends a delivery to the hook in it (`webhooks.rs`)
//! ```
//!
//! The sessions of a page share one temporary folder. `$ cargo xtask start` and `$ wardroom run` start a host in the
//! folder. Values that differ between runs are replaced as in the stories. `WARDROOM_BLESS=1` rewrites a session whose
//! output differs.
//!
//! Not here: links, anchors and the table of contents (`cargo xtask lint`).

mod page;
mod reference;
mod session;

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use anyhow::{Context as _, Result, bail, ensure};

use crate::test_host::{TestHost, guests, repository};
use page::Page;

/// Plugins that pages may load from `guests/`.
const GUESTS: [&str; 5] = ["deploy.wasm", "rollback.wasm", "auth.wasm", "remind.wasm", "coffee.wasm"];

/// Creates the folder of a new user: this `plugins.toml`, the sample's pipeline, another script and the built plugins.
fn scratch(config: &str) -> Result<TestHost> {
    let test_host = TestHost::new(config)?;
    test_host.script("deploy.sh", "#!/bin/sh\n")?;
    for name in GUESTS {
        test_host.copy_in(&guests().join(name), &format!("guests/{name}"))?;
    }
    Ok(test_host)
}

/// Reads the repository's `plugins.toml`.
fn sample() -> Result<String> {
    Ok(fs::read_to_string(repository().join("plugins.toml"))?)
}

/// Reads the README and the pages of the book.
fn pages() -> Result<Vec<Page>> {
    let mut files = vec![repository().join("README.md"), repository().join("CONTRIBUTING.md")];
    markdown(&repository().join("docs/src"), &mut files)?;
    files.iter().map(|file| Page::read(file)).collect()
}

/// Returns the blocks of a page that configure the hook of a sender.
pub(crate) fn sender_blocks(file: &Path) -> Result<Vec<String>> {
    let page = Page::read(file)?;
    let blocks = page.blocks.into_iter().filter(|block| block.is("sender"));
    Ok(blocks.map(|block| format!("{}\n", block.text)).collect())
}

fn markdown(folder: &Path, files: &mut Vec<PathBuf>) -> Result<()> {
    for entry in fs::read_dir(folder).with_context(|| format!("the folder {} cannot be read", folder.display()))? {
        let path = entry?.path();
        if path.is_dir() {
            markdown(&path, files)?;
        } else if path.extension().is_some_and(|end| end == "md") {
            files.push(path);
        }
    }
    files.sort();
    Ok(())
}

/// Runs a check for all pages in parallel. Fails with the errors of all pages.
fn on_every_page(check: impl Fn(&Page) -> Result<()> + Sync) -> Result<()> {
    let pages = pages()?;
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let checks: Vec<_> = pages.iter().map(|page| scope.spawn(|| check(page))).collect();
        let ended = checks.into_iter().map(|check| check.join().unwrap_or_else(|_| bail!("the check panicked")));
        ended.zip(&pages).filter_map(|(ended, page)| Some(format!("{page}: {:#}", ended.err()?))).collect()
    });
    ensure!(wrong.is_empty(), "{}", wrong.join("\n\n"));
    Ok(())
}

#[test]
fn every_session_comes_back_as_it_is_written() -> Result<()> {
    on_every_page(|page| session::run(page).map(drop))
}

#[test]
fn the_readme_shows_a_deployment_and_a_refusal() -> Result<()> {
    let page = Page::read(&repository().join("README.md"))?;
    let test_host = session::run(&page)?.context("README.md has no console session")?;
    let version = fs::read_to_string(test_host.path("sample/site/staging/current/index.html"))?;
    assert!(version.contains("1.0.1"), "{version}");
    // The malicious plugin started nothing.
    assert!(!test_host.path("sample/site/production").exists());
    Ok(())
}

#[test]
fn complete_configurations_pass_their_check_and_parts_parse() -> Result<()> {
    on_every_page(|page| {
        for block in page.blocks.iter().filter(|block| block.is("toml")) {
            if block.is("complete") {
                let test_host = scratch(&block.text)?;
                let check = test_host.wardroom(&["check"], "")?;
                ensure!(check.code == Some(0), "line {}: {}{}", block.line, check.out, check.err);
            } else {
                block.text.parse::<toml::Table>().with_context(|| format!("line {}", block.line))?;
            }
        }
        Ok(())
    })
}

#[test]
fn the_sample_passes_its_own_check() -> Result<()> {
    let check = scratch(&sample()?)?.wardroom(&["check"], "")?;
    assert_eq!(check.code, Some(0), "{}{}", check.out, check.err);
    Ok(())
}

#[test]
fn the_engine_runs_in_another_program() -> Result<()> {
    let mut child = Command::new(
        std::env::var_os("WARDROOM_EMBED").context("WARDROOM_EMBED is not set to the path of the example `embed`")?,
    )
    .stdin(Stdio::piped())
    .stdout(Stdio::piped())
    .spawn()?;
    let typed = "!deploy cms staging 1.0.2\nnothing for the bot\n!where\n!nonsense\n";
    std::io::Write::write_all(&mut child.stdin.take().context("no input")?, typed.as_bytes())?;
    let output = child.wait_with_output()?;
    assert!(output.status.success());
    let out = String::from_utf8(output.stdout)?;
    assert!(out.contains("*beep* | Content Management System: deployed version 1.0.2 to staging in"), "{out}");
    assert!(out.contains("staging: 1.0.2 since"), "{out}");
    assert!(out.contains("Unknown command `nonsense`"), "{out}");
    assert_eq!(out.matches("*beep*").count(), 4, "{out}");
    Ok(())
}
