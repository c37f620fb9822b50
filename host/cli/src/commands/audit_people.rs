//! `wardroom audit people`: who may run what where, and which rule or grant permits it.

use serde_json::json;
use wardroom::engine::{MayRow, MayRun};

use crate::{Exit, arguments::Format, report, wiring::Wiring};

pub(crate) async fn people(wiring: &Wiring<'_>, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring.read_or_report() else { return Ok(Exit::Wrong) };
    let (review, mut warnings) = wired.review_with_grants().await?;
    warnings.extend(review.warnings());
    let rows = review.people();
    report::print(format, || json!({ "people": rows, "warnings": warnings }), || text(&rows, &warnings))?;
    Ok(Exit::Done)
}

fn text(rows: &[MayRow], warnings: &[String]) -> String {
    let mut text = String::new();
    let mut last_person = None;
    for row in rows {
        if last_person != Some(&row.person) {
            let name = row.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            text.push_str(&format!("{}{name}\n", row.person));
            last_person = Some(&row.person);
        }
        let target = format!("{} {}", row.app, row.environment);
        for run in &row.runs {
            text.push_str(&format!("  {target:24} may run {} | {}\n", commands(run), rule(run)));
        }
        if !row.approves.is_empty() {
            text.push_str(&format!("  {target:24} may approve as {}\n", row.approves.join(", ")));
        }
    }
    text.push_str(&report::warnings(warnings));
    text
}

fn commands(run: &MayRun) -> String {
    let mut all: Vec<&str> = run.actions.iter().chain(&run.queries).map(String::as_str).collect();
    all.dedup();
    all.join(", ")
}

/// The rule with its line, or with the job that granted it.
fn rule(run: &MayRun) -> String {
    match run.role.as_str() {
        "admin" => format!("admin, {}", run.from),
        role => format!("role {role}, {}", run.from),
    }
}
