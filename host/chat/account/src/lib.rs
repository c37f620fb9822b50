//! What accounts on chat networks have in common: when to try again ([`Backoff`]), an outage in the log ([`Outage`]), an error
//! in one line ([`chain`]), and files that are whole or not there ([`folder`]).
//!
//! Not here: anything that knows a network.

mod backoff;
mod chain;
pub mod folder;
mod outage;

pub use backoff::{Backoff, LONGEST_ASKED};
pub use chain::chain;
pub use outage::Outage;
