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
    /// The table's file and line, for messages.
    pub at: At,
    /// The path of its WebAssembly file.
    pub module: PathBuf,
    /// Its `allow` rules.
    pub grants: Arc<Grants>,
    /// The limits of one invocation.
    pub limits: Limits,
    /// The names of its settings and their values, not yet checked against the plugin's description.
    pub settings: Vec<(Located<String>, Vec<Located<String>>)>,
    /// The file and line of the settings, for messages about a missing one.
    pub settings_at: At,
}
