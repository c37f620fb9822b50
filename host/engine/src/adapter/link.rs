//! The state of an account's connection to its network.
//!
//! Invariant: only the adapter sets the state; silence is no evidence.
//! Not here: what follows from it (`engine::health`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// An account's connection, as reported by its adapter. It starts disconnected.
#[derive(Debug)]
pub struct Link(Mutex<Known>);

#[derive(Debug)]
struct Known {
    state: LinkState,
    // The number of times that it was re-established.
    reconnects: u64,
    was_up: bool,
}

/// The state of a connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Connected.
    Up {
        /// The time at which the connection was established.
        since: Timestamp,
    },
    /// Disconnected.
    Down {
        /// The time at which the connection was lost.
        since: Timestamp,
        /// The reason, for people; it must not contain secrets.
        reason: String,
    },
}

impl LinkState {
    /// Whether the connection is up.
    pub fn is_up(&self) -> bool {
        matches!(self, Self::Up { .. })
    }
}

impl Default for Link {
    fn default() -> Self {
        let state = LinkState::Down { since: Timestamp::now(), reason: "not connected yet".to_owned() };
        Self(Mutex::new(Known { state, reconnects: 0, was_up: false }))
    }
}

impl Link {
    /// Reports the connection as established. Repeated calls change nothing.
    pub fn up(&self) {
        let mut known = self.known();
        if !known.state.is_up() {
            known.state = LinkState::Up { since: Timestamp::now() };
            known.reconnects += u64::from(known.was_up);
            known.was_up = true;
        }
    }

    /// Reports the connection as lost. Repeated calls keep the first time and replace the reason.
    pub fn down(&self, reason: impl Into<String>) {
        let mut known = self.known();
        let since = match &known.state {
            LinkState::Down { since, .. } => *since,
            LinkState::Up { .. } => Timestamp::now(),
        };
        known.state = LinkState::Down { since, reason: reason.into() };
    }

    /// The current state.
    pub fn state(&self) -> LinkState {
        self.known().state.clone()
    }

    /// The number of times that the connection was re-established.
    pub fn reconnects(&self) -> u64 {
        self.known().reconnects
    }

    fn known(&self) -> MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
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
