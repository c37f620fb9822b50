//! What obliges or forbids, beside the rules that permit: freezes, and the order of environments.
//!
//! Pure, but for the list of what is frozen now, which is changed with the transaction that holds it.
//!
//! Architecture Invariant: a rule here matches when *any* value matches, also where a value is absent or unknown.
//! Not here: where these rules are asked (`capability::oblige`), and what people type (`engine`).

mod freeze;
mod order;
mod window;

pub(crate) use freeze::Still;
pub use freeze::{Freezes, Frozen, FrozenBy};
pub(crate) use order::OutOfOrder;
pub use window::{Ends, Window};
