//! `wardroom audit`: per plugin and host call, what the plugin can do, may do and did.

mod findings;
pub(super) mod people;
mod triggers;
mod warnings;

use std::path::Path;

use serde_json::{Value, json};
use wardroom::{
    config::Config,
    hostcall::Plugins,
    store::{JobRow, Store as _, Usage},
};

use super::approvals;
use crate::{Exit, arguments::Format, report, wiring};

/// The data of a report.
struct Audit<'a> {
    config: &'a Config,
    plugins: &'a Plugins,
    usage: Vec<Usage>,
    overridden: Vec<JobRow>,
    warnings: Vec<String>,
}

pub(crate) async fn audit(path: &Path, format: Format) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    let plugins = wired.plugins(wired.lock.as_ref()).await?;
    let (usage, overridden) = match wired.store().await? {
        Some(store) => {
            let (usage, overridden) = (store.usage().await, store.jobs(&approvals::overridden_jobs()).await);
            store.close().await;
            (usage?, overridden?)
        }
        None => (Vec::new(), Vec::new()),
    };
    let config = &wired.config;
    let mut warnings = warnings::warnings(&plugins, &config.bots);
    warnings.extend(approvals::unmet(&config.approvals, &config.access));
    let audit = Audit { config, plugins: &plugins, usage, overridden, warnings };
    report::print(format, || audit.json(), || audit.text())?;
    Ok(Exit::Done)
}

impl Audit<'_> {
    fn json(&self) -> Value {
        let not_loaded: Vec<_> = self
            .plugins
            .not_loaded()
            .iter()
            .map(|plugin| json!({ "name": plugin.name, "error": plugin.error.to_string() }))
            .collect();
        json!({
            "plugins": findings::json(self.plugins, &self.usage),
            "not_loaded": not_loaded,
            "past": findings::past_json(self.plugins, &self.usage),
            "locked": self.plugins.locked(),
            "warnings": self.warnings,
            "overrides": self.overridden.iter().map(approvals::overridden_json).collect::<Vec<_>>(),
            "approvals": self.config.approvals.iter().map(approvals::rule_text).collect::<Vec<_>>(),
            "triggers": triggers::json(self.config),
        })
    }

    fn text(&self) -> String {
        let overridden = self.overridden.iter().map(approvals::overridden_text);
        let rules = self.config.approvals.iter().map(approvals::rule_text);
        let lines = overridden.chain(rules).chain(triggers::text(self.config));
        let mut text: String = lines.map(|line| format!("{line}\n")).collect();
        text.push_str(&findings::text(self.plugins, &self.usage));
        text.push_str(&report::warnings(&self.warnings));
        text
    }
}

/// The last part of a path.
fn file_name(file: &str) -> &str {
    file.rsplit('/').next().unwrap_or(file)
}
