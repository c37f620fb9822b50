//! The rows of roles that people granted in chat, and the rows of freezes.
//!
//! Not here: the rules of `plugins.toml` that limit the roles that people can grant in chat (`policy`).

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Person;

/// A role on one app that a person granted to another person in chat.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The unique id: the id of the job that granted the role, and the number of the journal entry of the host call.
    pub id: String,
    /// The person who got the role.
    pub person: Person,
    /// The name of the role, for example `deployer`.
    pub role: String,
    /// The name of the app, for example `cms`.
    pub app: String,
    /// The name of the environment to which the grant is limited; `None` for all environments of the role.
    pub environment: Option<String>,
    /// The person who granted the role.
    pub by: Person,
    /// The name of the bot that received the command. The grant is limited to the environments of this bot.
    pub bot: String,
    /// The time at which the role was granted.
    pub at: Timestamp,
    /// The time at which the grant expires; `None` if the grant does not expire.
    pub until: Option<Timestamp>,
}

/// A freeze of an environment: no job may start an effect in the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The name of the environment. A second freeze of the same environment replaces the first one.
    pub environment: String,
    /// The time at which the freeze ends; `None` if the freeze lasts until somebody lifts it.
    pub until: Option<Timestamp>,
    /// The reason that the person gave; empty if the person gave none.
    pub reason: String,
    /// The person who set the freeze.
    pub by: Person,
    /// The time at which the person set the freeze.
    pub at: Timestamp,
}
