//! `wardroom plugin inspect`: describes a plugin file without running a command.

use std::path::Path;

use serde_json::json;
use wardroom::{
    command::CommandKind,
    hostcall::HostCalls,
    model::CallSpec,
    plugin::{Artifact, Description, Runtime, describe_file},
};

use crate::{Exit, arguments::Format, report};

pub(crate) async fn inspect(file: &Path, format: Format) -> anyhow::Result<Exit> {
    let calls = HostCalls::new(&[]).map_err(anyhow::Error::msg)?;
    let artifact = match Artifact::read(file, calls.table()) {
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
    report::print(format, || json(&artifact, &description), || text(&artifact, &description))?;
    Ok(Exit::Done)
}

fn json(artifact: &Artifact, description: &Description) -> serde_json::Value {
    let call = |row: &CallSpec| json!({ "call": row.name, "kind": row.kind.as_str(), "summary": row.summary });
    let commands: Vec<_> = description
        .commands
        .iter()
        .map(|spec| {
            json!({
                "name": spec.name, "aliases": spec.aliases, "usage": spec.usage(), "summary": spec.summary,
                "kind": kind(spec.kind),
            })
        })
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
