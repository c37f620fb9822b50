//! Whether messages flow between an account and its network.
//!
//! Invariant: an adapter says so itself, when it knows; nobody guesses from silence.
//! Not here: what the host makes of it (`engine::health`).

use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::Timestamp;

/// An account's connection, as its adapter sees it. It begins down.
#[derive(Debug)]
pub struct Link(Mutex<Known>);

#[derive(Debug)]
struct Known {
    state: LinkState,
    // How often messages flowed again after they had not.
    reconnects: u64,
    was_up: bool,
}

/// How a connection stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LinkState {
    /// Messages flow.
    Up {
        /// Since when.
        since: Timestamp,
    },
    /// They do not.
    Down {
        /// Since when.
        since: Timestamp,
        /// Why, for people; nothing secret.
        reason: String,
    },
}

impl LinkState {
    /// Whether messages flow.
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
    /// Messages flow. Said again it changes nothing.
    pub fn up(&self) {
        let mut known = self.known();
        if !known.state.is_up() {
            known.state = LinkState::Up { since: Timestamp::now() };
            known.reconnects += u64::from(known.was_up);
            known.was_up = true;
        }
    }

    /// They do not flow, and why. Said again it keeps the first moment and takes the newest reason.
    pub fn down(&self, reason: impl Into<String>) {
        let mut known = self.known();
        let since = match &known.state {
            LinkState::Down { since, .. } => *since,
            LinkState::Up { .. } => Timestamp::now(),
        };
        known.state = LinkState::Down { since, reason: reason.into() };
    }

    /// How it stands now.
    pub fn state(&self) -> LinkState {
        self.known().state.clone()
    }

    /// How often messages flowed again after they had not.
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
    fn a_link_counts_how_often_it_came_back() {
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
