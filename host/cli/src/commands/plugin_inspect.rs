//! `wardroom plugin ...`: looks at a plugin's bytes, and locks what was reviewed.

use std::{collections::BTreeMap, path::Path};

use serde_json::json;
use wardroom::{
    capability::Row,
    command::CommandKind,
    plugin::{
        Artifact, Description, Runtime, describe_file,
        lock::{self, Lock},
    },
};

use crate::{Exit, arguments::Format, report, wiring};

pub(crate) async fn inspect(file: &Path, format: Format) -> anyhow::Result<Exit> {
    let artifact = match Artifact::read(file) {
        Ok(artifact) => artifact,
        Err(error) => {
            report::error(&format!("{}: {error}", file.display()));
            return Ok(Exit::Failed);
        }
    };
    let runtime =
        Runtime::new().map_err(|error| anyhow::anyhow!("the WebAssembly engine does not start: {error:#}"))?;
    let description = match describe_file(&runtime, &artifact).await {
        Ok(description) => description,
        Err(reason) => {
            report::error(&format!("{}: {reason}", file.display()));
            return Ok(Exit::Failed);
        }
    };
    match format {
        Format::Json => report::out(&facts(&artifact, &description).to_string())?,
        Format::Text => report::out(&text(&artifact, &description))?,
    }
    Ok(Exit::Done)
}

fn facts(artifact: &Artifact, description: &Description) -> serde_json::Value {
    let call = |row: &&Row| json!({ "call": row.name, "kind": row.kind.as_str(), "summary": row.summary });
    let commands: Vec<_> = description
        .commands
        .iter()
        .map(|spec| json!({ "name": spec.name, "aliases": spec.aliases, "usage": spec.usage(), "summary": spec.summary, "kind": kind(spec.kind) }))
        .collect();
    let settings: Vec<_> = description
        .settings
        .iter()
        .map(|setting| json!({ "name": setting.name, "summary": setting.summary, "required": setting.required }))
        .collect();
    json!({
        "digest": artifact.digest,
        "contract": artifact.contract,
        "commands": commands,
        "settings": settings,
        "calls": artifact.calls.iter().map(call).collect::<Vec<_>>(),
    })
}

fn kind(kind: CommandKind) -> &'static str {
    match kind {
        CommandKind::Query => "query",
        CommandKind::Action => "action",
    }
}

fn text(artifact: &Artifact, description: &Description) -> String {
    let mut text = format!("digest    {}\ncontract  {}\ncommands\n", artifact.digest, artifact.contract);
    for spec in &description.commands {
        text.push_str(&format!("  {} ({}): {}\n", spec.usage(), kind(spec.kind), spec.summary));
    }
    if !description.settings.is_empty() {
        text.push_str("settings\n");
    }
    for setting in &description.settings {
        let required = if setting.required { ", required" } else { "" };
        text.push_str(&format!("  {}{required}: {}\n", setting.name, setting.summary));
    }
    text.push_str("can call\n");
    for row in &artifact.calls {
        text.push_str(&format!("  {:20} {:6} {}\n", row.name, row.kind.as_str(), row.summary));
    }
    if artifact.calls.is_empty() {
        text.push_str("  nothing\n");
    }
    text
}

pub(crate) async fn lock(path: &Path, check: bool) -> anyhow::Result<Exit> {
    let Some(wired) = wiring::wire_or_report(path) else { return Ok(Exit::Wrong) };
    // Without the old lock: what is to be locked is what is there now.
    let plugins = wired.plugins(None).await?;
    let problems = plugins.problems(&wired.config);
    if !problems.is_empty() {
        report::problems(&problems);
        return Ok(Exit::Wrong);
    }
    let locked: BTreeMap<_, _> =
        plugins.loaded().iter().map(|plugin| (plugin.name.to_string(), plugin.locked())).collect();
    let new = Lock(locked);
    let file = lock::path(path);
    let changes = wired.lock.clone().unwrap_or_default().changes(&new);
    let mut lines = changes.clone();
    let same = changes.is_empty() && wired.lock.is_some();
    match (same, check) {
        (true, _) => lines.push(format!("{}: nothing changed", file.display())),
        (false, true) => lines.push(format!("{}: would change", file.display())),
        (false, false) => {
            let passing = file.with_extension("lock.tmp");
            std::fs::write(&passing, new.text())?;
            std::fs::rename(&passing, &file)?;
            lines.push(format!("{}: written, {} plugins; commit it", file.display(), new.0.len()));
        }
    }
    report::out(&lines.join("\n"))?;
    Ok(if check && !same { Exit::Failed } else { Exit::Done })
}
