//! The interface `settings` of the contract: a host call that returns the plugin's settings from `plugins.toml`.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::CallKind::Given;

pub(super) fn rows() -> Vec<CallRow> {
    vec![CallRow::new(contract_call("settings.all", Given, "reads the plugin's settings"), host::All)]
}
