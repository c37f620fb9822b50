//! `[app.NAME] direct`: what becomes of actions from a direct message.
//!
//! Not here: where they are shown (`job::shown`).

use crate::{base::Table, model::Direct};

/// Reads the key; another word is a problem.
pub(crate) fn read(table: &mut Table) -> Direct {
    let Some(word) = table.string("direct") else { return Direct::default() };
    match word.value.as_str() {
        "show" => Direct::Show,
        "refuse" => Direct::Refuse,
        _ => {
            let message = "`direct` is `show` or `refuse`: what becomes of actions from a direct message";
            table.problem(&word.at, message, "direct = \"show\"".to_owned());
            Direct::default()
        }
    }
}
