//! `[[listen]]`: patterns that are matched against messages which do not address the bot.

use regex::Regex;

use super::command_template::CommandTemplate;
use crate::{base::At, model::RoomName};

/// A `[[listen]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Listen {
    /// Its position in the configuration.
    pub at: At,
    /// The pattern.
    pub pattern: Regex,
    /// The query that it starts.
    pub command: CommandTemplate,
    /// The rooms that it applies to; `None` for all rooms.
    pub rooms: Option<Vec<RoomName>>,
}
