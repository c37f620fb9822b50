//! `wardroom audit people`: who may run what where, by which line of the configuration or which job.

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
    let approving: BTreeSet<&str> = approvals.iter().flat_map(|rule| &rule.from).map(String::as_str).collect();
    let approving: Vec<&str> = approving.into_iter().collect();
    let rows = explainer.census(&approving);
    match format {
        Format::Json => report::out(&json!({ "people": rows, "warnings": warnings }).to_string())?,
        Format::Text => report::out(&text(&rows, &warnings))?,
    }
    Ok(Exit::Done)
}

fn text(rows: &[MayRow], warnings: &[String]) -> String {
    let mut text = String::new();
    let mut last = None;
    for row in rows {
        if last != Some(&row.person) {
            let name = row.name.as_ref().map(|name| format!(" ({name})")).unwrap_or_default();
            text.push_str(&format!("{}{name}\n", row.person));
            last = Some(&row.person);
        }
        for run in &row.runs {
            let place = format!("{} {}", row.app, row.environment);
            text.push_str(&format!("  {place:24} may run {} | {}\n", commands(run), rule(run)));
        }
        if !row.approves.is_empty() {
            let place = format!("{} {}", row.app, row.environment);
            text.push_str(&format!("  {place:24} may approve as {}\n", row.approves.join(", ")));
        }
    }
    for warning in warnings {
        text.push_str(&format!("warning: {warning}\n"));
    }
    text
}

fn commands(run: &MayRun) -> String {
    let mut all: Vec<&str> = run.actions.iter().chain(&run.queries).map(String::as_str).collect();
    all.dedup();
    all.join(", ")
}

/// The rule, with its line or its job.
fn rule(run: &MayRun) -> String {
    match run.role.as_str() {
        "admin" => format!("admin, {}", run.from),
        role => format!("role {role}, {}", run.from),
    }
}
