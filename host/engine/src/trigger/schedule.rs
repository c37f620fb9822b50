//! `[[schedule]]`: commands that start at scheduled times.

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
    /// The machine account that counts as the sender of the command. The command runs with the rights of this account.
    pub machine: Person,
    /// The room that shows the command and its reply.
    pub room: RoomName,
    /// The name of the bot that runs the command; `None` for the bot whose account table names the room.
    pub bot: Option<String>,
    pub missed: MissedPolicy,
}

/// The handling of scheduled times that were missed while the host was down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum MissedPolicy {
    /// After downtime, the host runs only the latest missed time, and only if that time is less than the bot's
    /// `max_age` ago. A message in the schedule's room reports the skipped times.
    SkipOld,
    /// After downtime, the host runs only the latest missed time, regardless of its age.
    RunLatest,
}
