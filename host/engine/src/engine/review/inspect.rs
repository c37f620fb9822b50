//! Describes a plugin file without running any of its commands.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{command::CommandKind, hostcall::Loader};

/// The description of a plugin file, as `wardroom plugin inspect` prints it.
#[derive(Debug, Clone, Serialize)]
pub(in crate::engine) struct InspectedPlugin {
    digest: String,
    contract: String,
    commands: Vec<InspectedCommand>,
    settings: Vec<InspectedSetting>,
    /// The host calls that the plugin imports.
    calls: Vec<InspectedCall>,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct InspectedCommand {
    name: String,
    aliases: Vec<String>,
    usage: String,
    summary: String,
    kind: &'static str,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct InspectedSetting {
    name: String,
    summary: String,
    /// Whether the plugin fails to load without the setting.
    required: bool,
}

#[derive(Debug, Clone, Serialize)]
pub(super) struct InspectedCall {
    call: &'static str,
    kind: &'static str,
    summary: &'static str,
}

impl InspectedPlugin {
    /// Reads and describes a plugin file.
    ///
    /// # Errors
    /// Fails if the file is not a valid plugin. The error is a text of one line.
    pub(in crate::engine) async fn read(loader: &Loader, file: &Path) -> Result<Self, String> {
        let (digest, contract, calls, description) = loader.inspect(file).await.map_err(|error| error.to_string())?;
        let commands = description.commands.iter().map(|spec| InspectedCommand {
            name: spec.name.clone(),
            aliases: spec.aliases.clone(),
            usage: spec.usage(),
            summary: spec.summary.clone(),
            kind: match spec.kind {
                CommandKind::Query => "query",
                CommandKind::Action => "action",
            },
        });
        let settings = description.settings.iter().map(|setting| InspectedSetting {
            name: setting.name.clone(),
            summary: setting.summary.clone(),
            required: setting.required,
        });
        let calls =
            calls.iter().map(|row| InspectedCall { call: row.name, kind: row.kind.as_str(), summary: row.summary });
        Ok(Self {
            commands: commands.collect(),
            settings: settings.collect(),
            calls: calls.collect(),
            digest,
            contract,
        })
    }
}

impl fmt::Display for InspectedPlugin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "digest    {}\ncontract  {}\ncommands", self.digest, self.contract)?;
        for command in &self.commands {
            writeln!(f, "  {} ({}): {}", command.usage, command.kind, command.summary)?;
        }
        if !self.settings.is_empty() {
            writeln!(f, "settings")?;
        }
        for setting in &self.settings {
            let required = if setting.required { ", required" } else { "" };
            writeln!(f, "  {}{required}: {}", setting.name, setting.summary)?;
        }
        writeln!(f, "can call")?;
        for row in &self.calls {
            writeln!(f, "  {:20} {:6} {}", row.call, row.kind, row.summary)?;
        }
        if self.calls.is_empty() {
            writeln!(f, "  nothing")?;
        }
        Ok(())
    }
}
