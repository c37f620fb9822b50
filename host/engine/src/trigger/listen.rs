//! `[[listen]]`: patterns for messages that do not address the bot. A message that matches starts a query.

use regex::Regex;

use super::command_template::CommandTemplate;
use crate::{base::At, model::RoomName};

/// A `[[listen]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    pub at: At,
    /// The regular expression. Its named groups are the values of the placeholders.
    pub pattern: Regex,
    /// The query that a matching message starts.
    pub command: CommandTemplate,
    /// The rooms in which messages are matched; `None` for all rooms.
    pub rooms: Option<Vec<RoomName>>,
}
