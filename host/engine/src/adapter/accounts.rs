//! The accounts of a host on a chat network.

use std::sync::Arc;

use super::chat::Chat;

/// The accounts of a host, for requests about rooms.
pub(crate) trait Accounts: Send + Sync {
    /// The accounts on a network. Accounts whose configuration lists the room come first.
    fn of_room(&self, network: &str, room: &str) -> Vec<Arc<dyn Chat>>;
}
