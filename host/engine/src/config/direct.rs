//! `[app.NAME] direct`: the policy for actions that are typed in a direct message.
//!
//! Not here: showing such an action in the app's room (`job::shown`).

use crate::{base::Table, model::DirectPolicy};

/// Reads the key. An unknown choice is reported.
pub(crate) fn read(table: &mut Table) -> DirectPolicy {
    match table.choice("direct").map(|word| word.value) {
        Some("refuse") => DirectPolicy::Refuse,
        Some(_) => DirectPolicy::Show,
        None => DirectPolicy::default(),
    }
}
