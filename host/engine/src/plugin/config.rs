//! The configuration of one plugin in `plugins.toml`.

use std::{path::PathBuf, sync::Arc};

use crate::{
    base::{At, Located},
    model::Limits,
    policy::Grants,
};

/// A table `[plugin.NAME]` of `plugins.toml`, which configures one plugin.
#[derive(Debug)]
pub(crate) struct PluginConfig {
    /// The plugin's name: the `NAME` in `[plugin.NAME]`.
    pub name: String,
    /// The file and line of the plugin's table, for messages.
    pub at: At,
    /// The commands that belong to this plugin, whether or not it is loaded, and even if another plugin describes a
    /// command with the same name.
    pub commands: Vec<String>,
    /// The path of the plugin's WebAssembly file.
    pub module: PathBuf,
    /// The plugin's `allow` rules: the host calls that the plugin may make, and with which values.
    pub grants: Arc<Grants>,
    /// The plugin's limits for the run of one command.
    pub limits: Limits,
    /// The names and values of the plugin's settings, not yet checked against the plugin's description.
    pub settings: Vec<(Located<String>, Vec<Located<String>>)>,
    /// The file and line of the plugin's settings, for messages about a missing setting.
    pub settings_at: At,
}
