//! Rights as they are kept: what was granted in chat, and which environments are frozen.
//!
//! Plain data. What `plugins.toml` grants is not here; it is the ceiling for these.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::model::Person;

/// Somebody was added to a role, on one app.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Grant {
    /// Names it for ever: the job that granted it, and the number of its entry.
    pub id: String,
    /// Who may.
    pub person: Person,
    /// In which role.
    pub role: String,
    /// On which app.
    pub app: String,
    /// In which environment; `None` for all that the role covers.
    pub environment: Option<String>,
    /// Who granted it.
    pub by: Person,
    /// Through which bot: its environments alone.
    pub bot: String,
    /// When.
    pub at: Timestamp,
    /// When it ends by itself, if ever.
    pub until: Option<Timestamp>,
}

/// Nothing begins in an environment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Freeze {
    /// Which one. It has one freeze at most; a second one takes the place of the first.
    pub environment: String,
    /// Until when; `None` until somebody lifts it.
    pub until: Option<Timestamp>,
    /// Why, in their words.
    pub reason: String,
    /// Who said so.
    pub by: Person,
    /// When.
    pub at: Timestamp,
}
