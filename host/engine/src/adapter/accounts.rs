//! The trait through which rights checks reach the bot accounts of a chat network.

use std::sync::Arc;

use super::chat::Chat;

/// Looks up the bot accounts of a network, for requests about the ids and members of rooms.
pub(crate) trait Accounts: Send + Sync {
    /// Returns the accounts on a network. Accounts whose configuration lists the room come first.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
