//! The state of an account's connection to its chat network.
//!
//! Invariant: only the adapter changes the state of the connection. The engine does not treat a period without messages
//! as a lost connection.
//! Not here: the status messages and metrics about connections (`engine::health`).

use jiff::Timestamp;
use parking_lot::Mutex;

/// Shares the state of one account's connection between the adapter, which reports changes, and the engine, which reads
/// the state. A new link is disconnected.
#[derive(Debug)]
pub struct Link(Mutex<Inner>);

#[derive(Debug)]
struct Inner {
    state: LinkState,
    // How often the connection was re-established.
    reconnects: u64,
    was_up: bool,
}

/// The state of an account's connection to its chat network.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// The account is connected.
    Up {
        /// The time at which the connection was established.
        since: Timestamp,
    },
    /// The account is not connected.
    Down {
        /// The time at which the connection was lost; for an account that was never connected, the time at which the
        /// link was created.
        since: Timestamp,
        /// The reason why the account is not connected. The reply to `status` shows the reason, so the reason must not
        /// contain secrets.
        reason: String,
    },
}

impl LinkState {
    /// Returns whether the account is connected.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

impl Default for Link {
    fn default() -> Self {
        let state = LinkState::Down { since: Timestamp::now(), reason: "not connected yet".to_owned() };
        Self(Mutex::new(Inner { state, reconnects: 0, was_up: false }))
    }
}

impl Link {
    /// Reports that the account is connected. Does nothing if the account was already connected.
    pub fn up(&self) {
        let mut inner = self.0.lock();
        if !inner.state.is_up() {
            inner.state = LinkState::Up { since: Timestamp::now() };
            inner.reconnects += u64::from(inner.was_up);
            inner.was_up = true;
        }
    }

    /// Reports that the account is not connected. If the account was already disconnected, only replaces the reason.
    pub fn down(&self, reason: impl Into<String>) {
        let mut inner = self.0.lock();
        let since = match &inner.state {
            LinkState::Down { since, .. } => *since,
            LinkState::Up { .. } => Timestamp::now(),
        };
        inner.state = LinkState::Down { since, reason: reason.into() };
    }

    /// Returns the current state of the connection.
    pub fn state(&self) -> LinkState {
        self.0.lock().state.clone()
    }

    /// Returns how often the connection was re-established after a loss of the connection.
    pub fn reconnects(&self) -> u64 {
        self.0.lock().reconnects
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_counts_reconnects() {
        let link = Link::default();
        assert!(!link.state().is_up());
        link.up();
        assert_eq!((link.state().is_up(), link.reconnects()), (true, 0));
        link.down("the server closed it");
        link.down("no answer");
        assert!(matches!(link.state(), LinkState::Down { reason, .. } if reason == "no answer"));
        link.up();
        link.up();
        assert_eq!((link.state().is_up(), link.reconnects()), (true, 1));
    }
}
