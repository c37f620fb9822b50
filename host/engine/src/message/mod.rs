//! Messages as they come in: who wrote what where, whether it was meant for the bot, and the inbox that keeps it.

mod address;
mod inbox;

pub use address::Addressing;
pub(crate) use inbox::Arrival;
pub use inbox::{Inbox, Incoming, Position};

use serde::{Deserialize, Serialize};

/// Somebody on a chat network.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Person {
    /// The network's own immutable id. Rights hang on this alone.
    pub id: String,
    /// What people call them. For the eye only: anybody can call themselves anything.
    pub name: String,
}

impl Person {
    /// Somebody who goes by their id.
    pub fn named_by_id(id: impl Into<String>) -> Self {
        let id = id.into();
        Self { name: id.clone(), id }
    }
}
