//! The configuration of one plugin.

use std::{path::PathBuf, sync::Arc};

use crate::{
    base::{At, Located},
    model::Limits,
    policy::Grants,
};

/// One table `[plugin.NAME]` of `plugins.toml`.
#[derive(Debug)]
pub(crate) struct PluginConfig {
    /// The plugin's name: the `NAME` of the table.
    pub name: String,
    /// The file and line of the table, for messages.
    pub at: At,
    /// The path of the plugin's WebAssembly file.
    pub module: PathBuf,
    /// The plugin's `allow` rules.
    pub grants: Arc<Grants>,
    /// The limits of one invocation.
    pub limits: Limits,
    /// The names and values of the plugin's settings, not yet checked against its description.
    pub settings: Vec<(Located<String>, Vec<Located<String>>)>,
    /// The file and line of the settings, for messages about a missing setting.
    pub settings_at: At,
}
