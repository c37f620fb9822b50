//! `[app.NAME] direct`: what becomes of actions from a direct message.
//!
//! Not here: where they are shown (`job::shown`).

use crate::{base::Table, model::DirectPolicy};

/// Reads the key; another word is a problem.
pub(crate) fn read(table: &mut Table) -> DirectPolicy {
    let Some(word) = table.string("direct") else { return DirectPolicy::default() };
    match word.value.as_str() {
        "show" => DirectPolicy::Show,
        "refuse" => DirectPolicy::Refuse,
        _ => {
            let message = "`direct` is `show` or `refuse`: what becomes of actions from a direct message";
            table.problem(&word.at, message, "direct = \"show\"".to_owned());
            DirectPolicy::default()
        }
    }
}
