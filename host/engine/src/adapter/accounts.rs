//! The trait [`Accounts`], which finds the bot accounts of a chat network. The engine queries these accounts when it
//! checks people's rights, because rights can depend on the id and the members of a room.

use std::sync::Arc;

use super::chat::Chat;

/// Looks up the bot accounts of a chat network. The caller queries these accounts for the ids and members of rooms.
pub(crate) trait Accounts: Send + Sync {
    /// Returns all accounts on a network. Accounts whose configuration lists the room `room` come first.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
