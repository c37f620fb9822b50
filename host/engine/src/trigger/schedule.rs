//! `[[schedule]]`: commands that start at fixed times.

use super::command_template::CommandTemplate;
use crate::{
    base::{At, Cron},
    model::{Person, RoomName},
};

/// A `[[schedule]]` table.
#[derive(Debug, Clone)]
pub(crate) struct Schedule {
    pub name: String,
    pub at: At,
    pub cron: Cron,
    pub command: CommandTemplate,
    /// The machine that sends the command. Its rights apply.
    pub machine: Person,
    /// The room in which the command and its answer are shown.
    pub room: RoomName,
    /// The bot that runs the command; `None` for the bot of the room.
    pub bot: Option<String>,
    pub missed: MissedPolicy,
}

/// The handling of times that were missed while the host was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissedPolicy {
    /// After downtime, runs only the latest missed time, and only if it is younger than `max_age`. The room is
    /// notified of the skipped times.
    SkipOld,
    /// After downtime, runs only the latest missed time, regardless of its age.
    RunLatest,
}
