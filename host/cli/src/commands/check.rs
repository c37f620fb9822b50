//! `wardroom check`: reports every problem of the configuration at once, before anything connects.

use std::path::Path;

use serde_json::json;
use wardroom::base::Problem;

use super::{NO_LOCK, approvals};
use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn check(path: &Path, connect: bool, format: Format) -> anyhow::Result<Exit> {
    // 1. The configuration and the plugins.
    let wired = match wiring::wire(path) {
        Ok(wired) => wired,
        Err(problems) => return invalid(&problems, format),
    };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    let problems = plugins.problems(&wired.config);
    if !problems.is_empty() {
        return invalid(&problems, format);
    }
    let mut notes: Vec<String> =
        plugins.warnings(&wired.config).into_iter().map(|warning| format!("warning: {warning}")).collect();
    // 2. With `--connect`, log in and look up rooms and people.
    let mut failures = Vec::new();
    if connect {
        let people = wired.config.access.people();
        for chat in wired.config.bots.iter().flat_map(|bot| &bot.chats) {
            match chat.probe(&people).await {
                Ok(lines) => notes.extend(lines),
                Err(lines) => failures.extend(lines),
            }
        }
    }
    if !plugins.locked() {
        notes.push(NO_LOCK.to_owned());
    }
    notes.extend(approvals::unmet(&wired.config.approvals, &wired.config.access));
    // 3. The report.
    let plugin_count = plugins.loaded().len();
    let commands = plugins.loaded().iter().map(|plugin| plugin.description.commands.len()).sum::<usize>();
    let json = || {
        let problems: Vec<_> = failures.iter().map(|line| json!({ "message": line })).collect();
        json!({
            "good": failures.is_empty(), "problems": problems, "notes": notes, "plugins": plugin_count,
            "commands": commands,
        })
    };
    let text = || {
        let mut text = format!("{}: good, {plugin_count} plugins with {commands} commands", path.display());
        for note in &notes {
            text.push_str(&format!("\n  {note}"));
        }
        text
    };
    report::print(format, json, text)?;
    if format == Format::Text {
        for line in &failures {
            report::error(line);
        }
    }
    Ok(if failures.is_empty() { Exit::Done } else { Exit::Failed })
}

/// Prints problems: text to standard error, JSON to standard output.
fn invalid(problems: &[Problem], format: Format) -> anyhow::Result<Exit> {
    match format {
        Format::Text => report::problems(problems),
        Format::Json => {
            let object = |problem: &Problem| {
                json!({
                    "file": &*problem.at.file, "line": problem.at.line, "message": problem.message,
                    "write": problem.fix,
                })
            };
            let problems: Vec<_> = problems.iter().map(object).collect();
            report::out(&json!({ "good": false, "problems": problems }).to_string())?;
        }
    }
    Ok(Exit::Wrong)
}
