//! One `[plugin.NAME]`, as it was read.

use std::{path::PathBuf, sync::Arc};

use crate::{
    base::{At, Located},
    model::Limits,
    policy::Grants,
};

/// One `[plugin.NAME]`.
#[derive(Debug)]
pub(crate) struct PluginConfig {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// The file with its bytes.
    pub module: PathBuf,
    /// What it is granted.
    pub grants: Arc<Grants>,
    /// What one invocation of it may use.
    pub limits: Limits,
    /// Its settings as they were written, each with its values.
    pub settings: Vec<(Located<String>, Vec<Located<String>>)>,
    /// Where the settings stand.
    pub settings_at: At,
}
