//! `[[listen]]`: patterns for messages that do not address the bot. A message that matches starts a query.

use regex::Regex;

use super::command_template::CommandTemplate;
use crate::{base::At, model::RoomName};

/// A `[[listen]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    pub at: At,
    /// The regular expression that matches a part of a message. Its named groups provide the values of the placeholders
    /// in `command`.
    pub pattern: Regex,
    /// The query that a matching message starts.
    pub command: CommandTemplate,
    /// The rooms in which messages are matched; `None` for all rooms.
    pub rooms: Option<Vec<RoomName>>,
}
