//! `[[schedule]]`: commands at fixed times.

use super::command_template::CommandTemplate;
use crate::{
    base::{At, Cron},
    model::{Person, RoomName},
};

/// A `[[schedule]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    /// The schedule's name.
    pub name: String,
    /// Its position in the configuration.
    pub at: At,
    /// The times.
    pub cron: Cron,
    /// The command that it starts.
    pub command: CommandTemplate,
    /// The machine as which the command runs.
    pub machine: Person,
    /// The room that shows the command.
    pub room: RoomName,
    /// The bot that runs the command; the room's bot if it is not set.
    pub bot: Option<String>,
    /// The handling of times that were missed while the host was down.
    pub missed: MissedPolicy,
}

/// The handling of times that were missed while the host was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissedPolicy {
    /// After downtime, runs only the latest missed time, and only if it is younger than `max_age`. The room is notified
    /// of the skipped ones.
    SkipOld,
    /// After downtime, runs only the latest missed time, regardless of its age.
    RunLatest,
}
