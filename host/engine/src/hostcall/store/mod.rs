//! The interface `store`: the plugin's keys and values. A plugin cannot read those of another plugin.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::{Attribute::Key, CallKind, EnvironmentFrom};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("store.delete", CallKind::Keeps, "deletes one of the plugin's values")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Delete,
        ),
        CallRow::new(
            contract_call("store.get", CallKind::Reads, "reads one of the plugin's values")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Get,
        ),
        CallRow::new(contract_call("store.list", CallKind::Reads, "lists the plugin's values"), host::List),
        CallRow::new(
            contract_call("store.set", CallKind::Keeps, "stores a value of the plugin")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Set,
        ),
    ]
}
