//! `wardroom check`: every problem at once, before anything connects.

use std::path::Path;

use serde_json::json;
use wardroom::config::Problem;

use super::held;
use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn check(path: &Path, connect: bool, format: Format) -> anyhow::Result<Exit> {
    let wired = match wiring::wire(path) {
        Ok(wired) => wired,
        Err(problems) => return wrong(&problems, format),
    };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    let problems = plugins.problems(&wired.config);
    if !problems.is_empty() {
        return wrong(&problems, format);
    }
    let mut notes: Vec<String> =
        plugins.warnings(&wired.config).into_iter().map(|warning| format!("warning: {warning}")).collect();
    let mut failed = Vec::new();
    if connect {
        let people = wired.config.access.people();
        for chat in wired.config.bots.iter().flat_map(|bot| &bot.chats) {
            match chat.probe(&people).await {
                Ok(lines) => notes.extend(lines),
                Err(lines) => failed.extend(lines),
            }
        }
    }
    let commands = plugins.loaded().iter().map(|plugin| plugin.description.commands.len()).sum::<usize>();
    if !plugins.locked() {
        notes.push("there is no plugins.lock: any bytes are taken for a plugin (wardroom plugin lock)".to_owned());
    }
    notes.extend(held::unmet(&wired.config.approvals, &wired.config.access));
    match format {
        Format::Json => {
            let facts = json!({ "good": failed.is_empty(), "problems": failed.iter().map(|line| json!({ "message": line })).collect::<Vec<_>>(), "notes": notes, "plugins": plugins.loaded().len(), "commands": commands });
            report::out(&facts.to_string())?;
        }
        Format::Text => {
            let mut text =
                format!("{}: good, {} plugins with {commands} commands", path.display(), plugins.loaded().len());
            for note in &notes {
                text.push_str(&format!("\n  {note}"));
            }
            report::out(&text)?;
            for line in &failed {
                report::error(line);
            }
        }
    }
    Ok(if failed.is_empty() { Exit::Done } else { Exit::Failed })
}

fn wrong(problems: &[Problem], format: Format) -> anyhow::Result<Exit> {
    match format {
        Format::Text => report::problems(problems),
        Format::Json => {
            let fact = |problem: &Problem| json!({ "file": &*problem.at.file, "line": problem.at.line, "message": problem.message, "write": problem.fix });
            let facts: Vec<_> = problems.iter().map(fact).collect();
            report::out(&json!({ "good": false, "problems": facts }).to_string())?;
        }
    }
    Ok(Exit::Wrong)
}
