//! `[app.NAME] direct`: what becomes of actions from a direct message.
//!
//! Not here: where they are shown (`job::shown`).

use crate::{base::Table, model::DirectPolicy};

/// Reads the key; another word is a problem.
pub(crate) fn read(table: &mut Table) -> DirectPolicy {
    match table.choice("direct").map(|word| word.value) {
        Some("refuse") => DirectPolicy::Refuse,
        Some(_) => DirectPolicy::Show,
        None => DirectPolicy::default(),
    }
}
