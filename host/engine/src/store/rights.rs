//! The rows of rights: roles granted in chat, and freezes.
//!
//! Plain data. The rules of `plugins.toml` are not stored; they limit what these rows can grant.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Person;

/// A role that was granted to a person on one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// The unique id: the job that granted it and the number of the entry.
    pub id: String,
    /// The person who has the role.
    pub person: Person,
    /// The role's name.
    pub role: String,
    /// The app.
    pub app: String,
    /// The environment; `None` for all environments of the role.
    pub environment: Option<String>,
    /// The person who granted it.
    pub by: Person,
    /// The bot through which it was granted. The grant is limited to that bot's environments.
    pub bot: String,
    /// The time of the grant.
    pub at: Timestamp,
    /// The expiry time, if any.
    pub until: Option<Timestamp>,
}

/// A freeze: no job may start an effect in the environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// The environment. It has at most one freeze; a second one replaces the first.
    pub environment: String,
    /// The end; `None` until somebody lifts it.
    pub until: Option<Timestamp>,
    /// The reason that the person gave.
    pub reason: String,
    /// The person who set it.
    pub by: Person,
    /// The time at which it was set.
    pub at: Timestamp,
}
