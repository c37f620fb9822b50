//! Entries of a job's journal that are the host's own.

use serde_json::Value;

use crate::store::{Entry, EntryKind, JobRow};

/// An entry of the host's own in a job's journal. Its number is given when it is written.
pub(crate) fn entry(row: &JobRow, kind: EntryKind, body: Value, at: jiff::Timestamp) -> Entry {
    Entry {
        job: row.id.clone(),
        number: 0,
        kind,
        plugin: row.plugin.clone(),
        call: String::new(),
        of: None,
        rule: String::new(),
        attributes: std::collections::BTreeMap::new(),
        body,
        beside: None,
        at,
    }
}

/// The result of an intent or a wait, as the host writes it.
pub(crate) fn result(row: &JobRow, of: &Entry, body: Value, at: jiff::Timestamp) -> Entry {
    Entry { call: of.call.clone(), of: Some(of.number), ..entry(row, EntryKind::Result, body, at) }
}
