//! The trait with which the checks of people's rights look up the bot accounts of a chat network.

use std::sync::Arc;

use super::chat::Chat;

/// Looks up the bot accounts of a chat network. The caller queries these accounts for the ids and members of rooms.
pub(crate) trait Accounts: Send + Sync {
    /// Returns all accounts on a network. Accounts whose configuration lists the room `room` come first.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
