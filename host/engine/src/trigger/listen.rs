//! `[[listen]]`: patterns that are matched against messages to others.

use regex::Regex;

use super::command_template::CommandTemplate;
use crate::{base::At, model::RoomName};

/// A pattern that is looked for in what people say to each other.
#[derive(Debug, Clone)]
pub struct Listen {
    /// Where it stands.
    pub at: At,
    /// The pattern.
    pub pattern: Regex,
    /// The query that it sets off.
    pub command: CommandTemplate,
    /// The rooms where it is looked for; `None` for all.
    pub rooms: Option<Vec<RoomName>>,
}
