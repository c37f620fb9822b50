//! `[app.NAME] direct`: what becomes of actions from a direct message.
//!
//! Not here: where they are shown (`job::shown`).

use super::table::Table;

/// What becomes of an action on an app that is typed in a direct message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direct {
    /// It is done, and shown in the app's room where it has one.
    #[default]
    Show,
    /// It is refused.
    Refuse,
}

/// Reads the key; another word is a problem.
pub(super) fn read(table: &mut Table) -> Direct {
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
