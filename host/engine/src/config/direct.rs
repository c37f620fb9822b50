//! Reads `[app.NAME] direct`: the policy for actions that a person types in a direct message.
//!
//! Not here: the message in the app's room about the action (`job::shown_in`).

use crate::{base::Table, model::DirectPolicy};

/// Reads the key `direct` of an app. The default is `show`.
pub(crate) fn read(table: &mut Table) -> DirectPolicy {
    match table.choice("direct").map(|word| word.value) {
        Some("refuse") => DirectPolicy::Refuse,
        Some(_) => DirectPolicy::Show,
        None => DirectPolicy::default(),
    }
}
