//! The interface `store` of the contract: host calls that read and write the plugin's own keys and values. A plugin
//! cannot read or write the values of another plugin.

mod host;

use super::table::{CallRow, contract_call};
use crate::model::{
    Attribute::Key,
    CallKind::{Keeps, Reads},
    EnvironmentFrom,
};

pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            contract_call("store.delete", Keeps, "deletes one of the plugin's values")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Delete,
        ),
        CallRow::new(
            contract_call("store.get", Reads, "reads one of the plugin's values").on(&[Key], EnvironmentFrom::Nothing),
            host::Get,
        ),
        CallRow::new(contract_call("store.list", Reads, "lists the plugin's values"), host::List),
        CallRow::new(
            contract_call("store.set", Keeps, "stores a value of the plugin").on(&[Key], EnvironmentFrom::Nothing),
            host::Set,
        ),
    ]
}
