//! Describes a plugin file without running a command of it.

use std::{fmt, path::Path};

use serde::Serialize;

use crate::{
    command::CommandKind,
    model::CallTable,
    plugin::{Artifact, Runtime, describe_file},
};

/// The description of a plugin file. Its JSON form is that of `wardroom plugin inspect --format json`.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct InspectedPlugin {
    /// The digest of its bytes.
    pub digest: String,
    /// The contract's version.
    pub contract: String,
    /// Its commands.
    pub commands: Vec<InspectedCommand>,
    /// The settings that `plugins.toml` can give it.
    pub settings: Vec<InspectedSetting>,
    /// The host calls that it imports.
    pub calls: Vec<InspectedCall>,
}

/// A command of a plugin file.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct InspectedCommand {
    /// Its name.
    pub name: String,
    /// Its other names.
    pub aliases: Vec<String>,
    /// Its usage line.
    pub usage: String,
    /// Its description, in one line.
    pub summary: String,
    /// `query` or `action`.
    pub kind: &'static str,
}

/// A setting of a plugin file.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct InspectedSetting {
    /// Its key.
    pub name: String,
    /// The effect of the setting, in one line.
    pub summary: String,
    /// Whether the plugin does not load without it.
    pub required: bool,
}

/// A host call that a plugin file imports.
#[derive(Debug, Clone, Serialize)]
#[non_exhaustive]
pub struct InspectedCall {
    /// Its name.
    pub call: &'static str,
    /// Its kind.
    pub kind: &'static str,
    /// Its description, in one line.
    pub summary: &'static str,
}

impl InspectedPlugin {
    /// Reads and describes a file.
    ///
    /// # Errors
    /// The reason, in one line.
    pub(in crate::engine) async fn read(runtime: &Runtime, calls: &CallTable, file: &Path) -> Result<Self, String> {
        let artifact = Artifact::read(file, calls).map_err(|error| error.to_string())?;
        let description = describe_file(runtime, &artifact).await.map_err(|error| error.to_string())?;
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
        let calls = artifact.calls.iter().map(|row| InspectedCall {
            call: row.name,
            kind: row.kind.as_str(),
            summary: row.summary,
        });
        Ok(Self {
            commands: commands.collect(),
            settings: settings.collect(),
            calls: calls.collect(),
            digest: artifact.digest,
            contract: artifact.contract,
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
