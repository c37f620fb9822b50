//! `[[schedule]]`: commands at set times.

use super::command_template::CommandTemplate;
use crate::{
    base::{At, Cron},
    model::{Person, RoomName},
};

/// A command at times.
#[derive(Debug, Clone)]
pub struct Schedule {
    /// Its name.
    pub name: String,
    /// Where it stands.
    pub at: At,
    /// When.
    pub cron: Cron,
    /// What.
    pub command: CommandTemplate,
    /// In whose name.
    pub machine: Person,
    /// Where it is seen.
    pub room: RoomName,
    /// The identity that does it; the one of the room if nothing is said.
    pub bot: Option<String>,
    /// What becomes of times at which no host was there.
    pub missed: Missed,
}

/// What becomes of times at which no host was there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Missed {
    /// The newest one is made up for if it is younger than a late message may be; the room is told of the others.
    Skip,
    /// The newest one is made up for, however old it is.
    Last,
}
