//! Which accounts of a host are on a chat network.

use std::sync::Arc;

use super::chat::Chat;

/// The accounts of a host, for questions about rooms.
pub(crate) trait Accounts: Send + Sync {
    /// The accounts on a network: first those whose tables name the room.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
