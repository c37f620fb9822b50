//! Entries of a job's journal that are the host's own: what was typed, and how the guest ended.

use crate::port::store::{Entry, EntryKind, JobRow};

/// An entry of the host's own in a job's journal.
pub(crate) fn entry(row: &JobRow, number: u32, kind: EntryKind, body: serde_json::Value, at: jiff::Timestamp) -> Entry {
    Entry {
        job: row.id.clone(),
        number,
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
