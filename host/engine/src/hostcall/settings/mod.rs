//! `settings`: the settings of this plugin in `plugins.toml`.

mod host;

use super::table::{CallRow, own};
use crate::model::CallKind;

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![CallRow::new(own("settings.all", CallKind::Given, "reads the plugin's own settings"), host::All)]
}
