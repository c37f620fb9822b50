//! Reads the rooms of a chat account from the configuration.

use wardroom::base::Table;

/// Reads the key `rooms` of a configuration table. `parse` returns `None` for a text that is not a room of the network.
/// `why` is the reason for the rejection, worded as the end of a sentence, for example `is neither an alias nor the id
/// of a Matrix room`. `suggest` returns a valid room that is similar to an invalid one, for the hint.
///
/// Leaves out each invalid entry and each repetition of an entry, and adds a configuration problem for it to the table.
pub fn read_rooms<R: PartialEq>(
    table: &mut Table,
    why: &str,
    parse: impl Fn(&str) -> Option<R>,
    suggest: impl Fn(&str) -> String,
) -> Vec<R> {
    let mut rooms = Vec::new();
    for text in table.strings("rooms").map(|list| list.value).unwrap_or_default() {
        match parse(&text.value) {
            Some(room) if !rooms.contains(&room) => rooms.push(room),
            Some(_) => {
                let message =
                    format!("`{}.rooms` contains `{}` twice; remove one of the two", table.path(), text.value);
                table.problem(&text.at, message, None);
            }
            None => {
                let message = format!("`{}.rooms` contains `{}`, which {why}", table.path(), text.value);
                table.problem(&text.at, message, format!("rooms = [\"{}\"]", suggest(&text.value)));
            }
        }
    }
    rooms
}
