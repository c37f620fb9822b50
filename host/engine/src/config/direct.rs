//! Reads `[app.NAME] direct`: the policy for actions that a person types in a direct message.
//!
//! Not here: the message about the action in the app's room (`job::shown_in`).

use crate::{base::Table, model::DirectPolicy};

/// Reads `direct`. The default is `show`.
pub(crate) fn read(table: &mut Table) -> DirectPolicy {
    match table.choice("direct").map(|word| word.value) {
        Some("refuse") => DirectPolicy::Refuse,
        Some(_) => DirectPolicy::Show,
        None => DirectPolicy::default(),
    }
}
