//! `store`: the plugin's own keys and values. No plugin reads those of another.

mod host;

use super::table::{CallRow, own};
use crate::model::{Attribute::Key, CallKind, EnvironmentFrom};

/// The rows of the call table.
pub(super) fn rows() -> Vec<CallRow> {
    vec![
        CallRow::new(
            own("store.delete", CallKind::Keeps, "forgets one of the plugin's own values")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Delete,
        ),
        CallRow::new(
            own("store.get", CallKind::Reads, "reads one of the plugin's own values")
                .on(&[Key], EnvironmentFrom::Nothing),
            host::Get,
        ),
        CallRow::new(own("store.list", CallKind::Reads, "reads the plugin's own values"), host::List),
        CallRow::new(
            own("store.set", CallKind::Keeps, "keeps a value of the plugin's own").on(&[Key], EnvironmentFrom::Nothing),
            host::Set,
        ),
    ]
}
