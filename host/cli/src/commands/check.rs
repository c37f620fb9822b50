//! `wardroom check`: reports all problems of the configuration and the plugins. Connects to the chat networks only with
//! `--connect`.

use serde_json::json;
use wardroom::{base::Problem, plugin::Lock};

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn check(wiring: &Wiring<'_>, connect: bool, format: Format) -> anyhow::Result<Exit> {
    // 1. Check the configuration and the plugins.
    let wired = match wiring.read() {
        Ok(wired) => wired,
        Err(problems) => return invalid(&problems, format),
    };
    let (review, _) = wired.review().await?;
    let problems = review.problems();
    if !problems.is_empty() {
        return invalid(&problems, format);
    }
    let mut notes: Vec<String> = review.warnings().into_iter().map(|warning| format!("warning: {warning}")).collect();
    // 2. With `--connect`, log in and look up rooms and people.
    let mut failures = Vec::new();
    if connect {
        for check in review.probe().await {
            match check {
                Ok(line) => notes.push(line),
                Err(line) => failures.push(line),
            }
        }
    }
    if !review.locked() {
        notes.push(Lock::MISSING.to_owned());
    }
    // 3. Print the report.
    let (plugin_count, commands) = review.counts();
    let json = || {
        let problems: Vec<_> = failures.iter().map(|line| json!({ "message": line })).collect();
        json!({
            "valid": failures.is_empty(), "problems": problems, "notes": notes, "plugins": plugin_count,
            "commands": commands,
        })
    };
    let text = || {
        let mut text = format!("{}: valid, {plugin_count} plugins with {commands} commands", wiring.path.display());
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

/// Prints configuration problems, as text to standard error or as JSON to standard output. Returns [`Exit::Invalid`].
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
            report::out(&json!({ "valid": false, "problems": problems }).to_string())?;
        }
    }
    Ok(Exit::Invalid)
}
