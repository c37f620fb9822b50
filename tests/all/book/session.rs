//! Runs the sessions of a page.
//!
//! After each typed line, the test types a mark. The host prints the mark after the output of the line, so that each
//! output is assigned to its line and a session can be rewritten.

use std::{env, fs};

use anyhow::{Context as _, Result, ensure};

use super::{page::Page, sample, scratch};
use crate::{
    stories::{difference, filtered},
    test_host::{self, TestHost},
};

/// The prefixes of a command line and of a line that is typed into a host.
const COMMAND: &str = "$ ";
const TYPED: &str = "> ";
/// Commands that start a host on the folder's `plugins.toml`.
const STARTS: [&str; 2] = ["cargo xtask start", "wardroom run"];
/// An unknown command of the console, whose reply contains its name.
const MARK: &str = "/mark-";

/// Runs all sessions of a page. Returns their folder, if the page has a session.
///
/// # Errors
/// The output of a session differs; the error shows the difference.
pub(super) fn run(page: &Page) -> Result<Option<TestHost>> {
    let mut test_host = None;
    let mut text = page.text.clone();
    let mut wrong = Vec::new();
    for block in &page.blocks {
        if block.is("toml") && block.is("session") {
            test_host = Some(scratch(&block.text)?);
        }
        if !(block.is("text") && block.is("session")) {
            continue;
        }
        ensure!(
            block.raw == block.text,
            "the session at line {} is indented, so it cannot be written by WARDROOM_BLESS",
            block.line
        );
        let at = match test_host.take() {
            Some(test_host) => test_host,
            None => scratch(&sample()?)?,
        };
        let came = play(&block.text, &at).with_context(|| format!("the session of line {}", block.line))?;
        let (wanted, shown) = (filtered(&squeezed(&block.text), &at), filtered(&squeezed(&came), &at));
        if wanted != shown && env::var_os("WARDROOM_BLESS").is_some() {
            text = text.replacen(&block.raw, &came, 1);
        } else if wanted != shown {
            wrong.push(format!("the session of line {}:\n{}", block.line, difference(&wanted, &shown)));
        }
        test_host = Some(at);
    }
    if text != page.text {
        fs::write(&page.file, text)?;
    }
    ensure!(wrong.is_empty(), "{}", wrong.join("\n"));
    Ok(test_host)
}

/// Runs a session. Returns it with its actual output.
fn play(session: &str, test_host: &TestHost) -> Result<String> {
    let mut steps: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in session.lines() {
        if let Some(command) = line.strip_prefix(COMMAND) {
            steps.push((command, Vec::new()));
        } else if let Some(typed) = line.strip_prefix(TYPED) {
            steps.last_mut().context("the session has input before its command line")?.1.push(typed);
        }
    }
    ensure!(!steps.is_empty(), "the session has no command line");
    let parts = steps.into_iter().map(|(command, typed)| match STARTS.contains(&command) {
        true => hosted(command, &typed, test_host),
        false => shell(command, test_host),
    });
    Ok(parts.collect::<Result<Vec<_>>>()?.join("\n"))
}

/// Starts a host, types lines and ends the host. Returns the commands with their output.
fn hosted(command: &str, typed: &[&str], test_host: &TestHost) -> Result<String> {
    let input: String = typed.iter().enumerate().map(|(at, line)| format!("{line}\n{MARK}{at}\n")).collect();
    let ran = test_host.wardroom(&["run"], input)?;
    ensure!(ran.code == Some(0), "the host ended with {:?}:\n{}{}", ran.code, ran.out, ran.err);
    let mut came = format!("{COMMAND}{command}\n");
    let mut said = ran.out.lines();
    for (at, line) in typed.iter().enumerate() {
        came.push_str(&format!("{TYPED}{line}\n"));
        let cursor = format!("`{MARK}{at}`");
        let answer = said.by_ref().take_while(|said| !said.contains(&cursor));
        came.extend(answer.map(|said| format!("{said}\n")));
    }
    came.extend(said.map(|said| format!("{said}\n")));
    Ok(came)
}

/// Runs any other command line.
fn shell(command: &str, test_host: &TestHost) -> Result<String> {
    let mut shell = test_host.command("sh");
    shell.args(["-c", command]);
    let ran = test_host::run(shell, "")?;
    let mut came = format!("{COMMAND}{command}\n{}{}", ran.out, ran.err);
    if ran.code != Some(0) {
        let code = ran.code.map_or("none".to_owned(), |code| code.to_string());
        came.push_str(&format!("[exit code {code}]\n"));
    }
    Ok(came)
}

/// Removes empty lines, which sessions use only for readability.
fn squeezed(session: &str) -> String {
    session.lines().filter(|line| !line.trim().is_empty()).map(|line| format!("{line}\n")).collect()
}
