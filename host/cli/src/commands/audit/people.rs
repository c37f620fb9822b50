//! `wardroom audit people`: who may run what where, and which rule or grant permits it.

use std::{collections::BTreeSet, path::Path};

use serde_json::json;
use wardroom::engine::{Explainer, MayRow, MayRun};

use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn people(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    let mut warnings = wired.grants().await?;
    warnings.extend(plugins.warnings(&wired.config));
    let config = &wired.config;
    let (access, catalog, approvals) = (&*config.access, &*config.catalog, config.approvals.as_slice());
    let explainer = Explainer { access, catalog, plugins: &plugins, approvals };
    let approvers: BTreeSet<&str> = approvals.iter().flat_map(|rule| &rule.from).map(String::as_str).collect();
    let approvers: Vec<&str> = approvers.into_iter().collect();
    let rows = explainer.census(&approvers);
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
